"""The Hugging Face hub: what is in its cache, whether it can be had, and a download."""

import http.client
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import IO

from edgekit.errors import WeightsError, reason

PROBE_SECONDS = 3.0
COMMIT = "X-Repo-Commit"  # the header by which the hub's own client, too, knows a hub


def cached(hub_id: str | None) -> Path | None:
    """The checkpoint in the hub's cache, found without a network."""
    if hub_id is None:
        return None
    from huggingface_hub import try_to_load_from_cache

    for name in ("model.safetensors", "pytorch_model.bin"):
        path = try_to_load_from_cache(hub_id, name)
        if isinstance(path, str):
            return Path(path)
    return None


def trouble(hub_id: str | None) -> str | None:
    """None when a hub answers for this repository within PROBE_SECONDS, else what is wrong, in a few words.

    The words go into manifests: no address is in them, which could hold a password.
    """
    if hub_id is None:
        return "the hub has none"
    from huggingface_hub import constants, hf_hub_url

    if constants.HF_HUB_OFFLINE:
        return "the hub is switched off (HF_HUB_OFFLINE)"
    url = hf_hub_url(hub_id, "config.json")
    late = f"the hub did not answer within {PROBE_SECONDS:.0f} s"
    answer: list[str | None] = []

    def probe() -> None:  # in a thread: a name server that does not answer ignores every timeout
        try:
            answer.append(_ask(url, hub_id))
        except (ValueError, http.client.InvalidURL):
            answer.append("HF_ENDPOINT is not a web address")
        except OSError as error:
            timed_out = isinstance(getattr(error, "reason", error), TimeoutError)
            answer.append(late if timed_out else f"the hub is not reachable ({_words(error)})")
        except Exception:  # http.client raises many kinds at what is no HTTP
            answer.append("what answers is not a web server")

    thread = threading.Thread(target=probe, daemon=True)
    thread.start()
    thread.join(PROBE_SECONDS)
    return answer[0] if answer else late


class _UntilAHub(urllib.request.HTTPRedirectHandler):
    """Follows redirects until an answer is a hub's: where that one leads (storage, a cache) says nothing more."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        return None if COMMIT in headers else super().redirect_request(req, fp, code, msg, headers, newurl)


def _ask(url: str, hub_id: str) -> str | None:
    if not url.startswith(("http://", "https://")):
        raise ValueError(url)
    request = urllib.request.Request(url, method="HEAD")
    try:
        with urllib.request.build_opener(_UntilAHub).open(request, timeout=PROBE_SECONDS) as response:
            code, headers = response.status, response.headers
    except urllib.error.HTTPError as error:
        code, headers = error.code, error.headers
        error.close()
    if code >= 400:
        return f"the hub answers {code} for {hub_id}"
    return None if COMMIT in headers else "what answers is not a Hugging Face hub"


def _words(error: OSError) -> str:
    """The few words of an error that a person needs: `Name or service not known`."""
    inner = getattr(error, "reason", error)
    return getattr(inner, "strerror", None) or (reason(inner) if isinstance(inner, Exception) else str(inner))


def download(hub_id: str, instead: str) -> Path:
    """Fetch a checkpoint into the hub's own cache, with its own progress bar.

    instead  what else could be typed, for the hint of the WeightsError
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    try:
        try:
            return Path(hf_hub_download(hub_id, "model.safetensors"))
        except LocalEntryNotFoundError:  # an EntryNotFoundError that means: no connection
            raise
        except EntryNotFoundError:
            return Path(hf_hub_download(hub_id, "pytorch_model.bin"))
    except Exception as error:  # the hub's client raises many kinds, none of them ours to fix
        raise WeightsError(
            f"{hub_id} cannot be downloaded: {reason(error.__cause__ or error)}",
            hint=f"try again, finished parts are kept; or {instead}",
        ) from error
