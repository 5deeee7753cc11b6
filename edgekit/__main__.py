"""python -m edgekit"""

from edgekit_vision import main

main()
