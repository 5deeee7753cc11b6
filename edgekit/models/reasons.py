"""What an exception of somebody else's says, in one line."""


def reason(error: BaseException) -> str:
    """The first line that an exception says, or its kind where it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def kind_and_reason(error: BaseException) -> str:
    """`ValueError: no such head`"""
    return f"{type(error).__name__}: {reason(error)}" if str(error).strip() else type(error).__name__
