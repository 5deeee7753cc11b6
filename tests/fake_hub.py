"""A Hugging Face hub on this machine, with the parts of its HTTP interface that pushing and pulling need.

https://huggingface.co/docs/hub/api; the LFS part is https://github.com/git-lfs/git-lfs/blob/main/docs/api/batch.md.
"""

import base64
import hashlib
import json
import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

TOKEN = "hf_secret"


class Hub:
    """`repositories`: name -> branch -> path -> bytes. `large`: what was uploaded apart from its commit, by digest."""

    def __init__(self):
        self.repositories, self.private, self.large, self.commits = {}, set(), {}, 0
        self.fails = None  # (status, words): the answer to everything

    def commit_id(self, repository, branch):
        told = json.dumps({p: hashlib.sha256(b).hexdigest() for p, b in self.repositories[repository][branch].items()})
        return hashlib.sha1(f"{repository} {told}".encode()).hexdigest()

    def at(self, repository, revision):
        """The files of a branch or a commit."""
        for branch, files in self.repositories[repository].items():
            if revision in (branch, self.commit_id(repository, branch)):
                return branch, files
        return None, None


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, body=b"", status=200, **headers):
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def refuse(self, status, words, code=""):
        self.answer({"error": words}, status, X_Error_Message=words, **({"X_Error_Code": code} if code else {}))

    def handle_one(self):
        hub, path = self.server.hub, unquote(urlsplit(self.path).path)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        writes = self.command in ("POST", "PUT") and not path.startswith("/large/")
        if hub.fails:
            return self.refuse(*hub.fails)
        if writes and self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self.refuse(401, "Invalid username or password.")
        for pattern, method in ROUTES:
            if found := re.fullmatch(pattern, path):
                repository = found.groupdict().get("repository")
                if repository and repository not in hub.repositories:
                    return self.refuse(404, "Repository not found", "RepoNotFound")
                if repository in hub.private and self.headers.get("Authorization") != f"Bearer {TOKEN}":
                    return self.refuse(401, "Repository not found", "RepoNotFound")
                return method(self, hub, body, **found.groupdict())
        return self.refuse(404, f"no such place {path}")

    do_GET = do_HEAD = do_POST = do_PUT = handle_one

    def create(self, hub, body):
        asked = json.loads(body)
        name = f"{asked['organization']}/{asked['name']}" if asked.get("organization") else asked["name"]
        url = f"http://{self.headers['Host']}/{name}"
        if name in hub.repositories:
            return self.answer({"error": "You already created this model repo", "url": url}, 409)
        hub.repositories[name] = {"main": {".gitattributes": b"*.tflite filter=lfs\n"}}
        if asked.get("private") or asked.get("visibility") == "private":
            hub.private.add(name)
        return self.answer({"url": url, "name": name})

    def branch(self, hub, body, repository, revision):
        if revision in hub.repositories[repository]:
            return self.refuse(409, "Reference already exists")
        hub.repositories[repository][revision] = dict(hub.repositories[repository]["main"])
        return self.answer({})

    def info(self, hub, body, repository, revision="main"):
        branch, files = hub.at(repository, revision)
        if files is None:
            return self.refuse(404, "Revision not found", "RevisionNotFound")
        names = [{"rfilename": name} for name in files]
        return self.answer({"id": repository, "sha": hub.commit_id(repository, branch), "siblings": names})

    def tree(self, hub, body, repository, revision):
        _, files = hub.at(repository, revision)
        if files is None:
            return self.refuse(404, "Revision not found", "RevisionNotFound")
        return self.answer([{"type": "file", "path": p, "size": len(b), "oid": "0" * 40} for p, b in files.items()])

    def yaml(self, hub, body):
        return self.answer({"errors": [], "warnings": []})

    def preupload(self, hub, body, repository, revision):
        asked = json.loads(body)["files"]
        mode = {True: "lfs", False: "regular"}
        told = [
            {"path": f["path"], "uploadMode": mode[f["path"].endswith((".tflite", ".npz"))], "shouldIgnore": False}
            for f in asked
        ]
        return self.answer({"files": told})

    def batch(self, hub, body, repository):
        href = f"http://{self.headers['Host']}/large/"
        objects = [
            {"oid": o["oid"], "size": o["size"], "actions": {"upload": {"href": href + o["oid"]}}}
            for o in json.loads(body)["objects"]
        ]
        return self.answer({"transfer": "basic", "objects": objects})

    def upload(self, hub, body, oid):
        hub.large[oid] = body
        return self.answer()

    def commit(self, hub, body, repository, revision):
        files = hub.repositories[repository][revision]
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = hub.large[value["oid"]]
            elif line["key"] == "deletedFile":
                del files[value["path"]]
        hub.commits += 1
        oid = hub.commit_id(repository, revision)
        return self.answer({"commitUrl": f"http://{self.headers['Host']}/{repository}/commit/{oid}", "commitOid": oid})

    def resolve(self, hub, body, repository, revision, name):
        branch, files = hub.at(repository, revision)
        if files is None or name not in files:
            code = "RevisionNotFound" if files is None else "EntryNotFound"
            return self.refuse(404, "not found", code)
        etag = f'"{hashlib.sha256(files[name]).hexdigest()}"'
        return self.answer(files[name], ETag=etag, X_Repo_Commit=hub.commit_id(repository, branch))


REPOSITORY, REVISION = r"(?P<repository>[^/]+/[^/]+)", r"(?P<revision>[^/]+)"
ROUTES = [
    (r"/api/repos/create", Handler.create),
    (r"/api/validate-yaml", Handler.yaml),
    (rf"/api/models/{REPOSITORY}", Handler.info),
    (rf"/api/models/{REPOSITORY}/revision/{REVISION}", Handler.info),
    (rf"/api/models/{REPOSITORY}/branch/{REVISION}", Handler.branch),
    (rf"/api/models/{REPOSITORY}/tree/{REVISION}", Handler.tree),
    (rf"/api/models/{REPOSITORY}/preupload/{REVISION}", Handler.preupload),
    (rf"/api/models/{REPOSITORY}/commit/{REVISION}", Handler.commit),
    (rf"/{REPOSITORY}\.git/info/lfs/objects/batch", Handler.batch),
    (r"/large/(?P<oid>[0-9a-f]{64})", Handler.upload),
    (rf"/{REPOSITORY}/resolve/{REVISION}/(?P<name>.+)", Handler.resolve),
]


@contextmanager
def running():
    """A hub and its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.hub = Hub()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.hub, f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
