"""The part of a W&B server that an upload needs, on 127.0.0.1."""

from __future__ import annotations

import contextlib
import gzip
import http.server
import json
import re
import threading
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

Row = dict[str, Any]


@dataclass
class Uploads:
    """What a server was given, by run id."""

    url: str = ""
    runs: dict[str, Row] = field(default_factory=lambda: defaultdict(dict))
    """The fields of the run: groupName, jobType, tags, displayName, config..."""
    history: dict[str, list[Row]] = field(default_factory=lambda: defaultdict(list))
    summary: dict[str, Row] = field(default_factory=dict)
    exit_codes: dict[str, int] = field(default_factory=dict)

    def environment(self) -> dict[str, str]:
        """What makes wandb take this for its server."""
        return {"WANDB_API_KEY": "0123456789" * 4, "WANDB_BASE_URL": self.url}

    def answer(self, query: str, given: Row) -> Row:
        """Answer a GraphQL query or mutation."""
        name = given.get("name") or given.get("run")
        project = {"id": "p", "name": "ekd", "entity": {"id": "e", "name": "someone"}}
        if "upsertBucket" in query:
            self.runs[str(name)].update({key: given[key] for key in given if given[key]})
            bucket = {"id": name, "name": name, "displayName": name, "config": "{}"}
            bucket |= {"project": project, "historyLineCount": len(self.history[str(name)])}
            return {"upsertBucket": {"bucket": bucket, "inserted": True}}
        if "createRunFiles" in query:
            files = [{"name": file, "uploadUrl": f"{self.url}/{file}"} for file in given["files"]]
            return {"createRunFiles": {"runID": name, "uploadHeaders": [], "files": files}}
        if "RunResumeStatus" in query and name in self.runs:
            return {"model": project | {"bucket": self._resumed(str(name))}}
        return {}

    def stream(self, run: str, sent: Row) -> None:
        """Take a part of a run's history and summary."""
        files = sent.get("files") or {}
        if part := files.get("wandb-history.jsonl"):
            rows = [json.loads(line) for line in part["content"]]
            self.history[run][part["offset"] :] = rows
        if part := files.get("wandb-summary.json"):
            self.summary[run] = json.loads(part["content"][-1])
        if sent.get("complete"):
            self.exit_codes[run] = sent["exitcode"]

    def _resumed(self, run: str) -> Row:
        rows = [json.dumps(row) for row in self.history[run]]
        counts = {"logLineCount": 0, "eventsLineCount": 0, "historyLineCount": len(rows)}
        texts = {"historyTail": json.dumps(rows[-1:]), "eventsTail": "[]", "notes": ""}
        texts["summaryMetrics"] = json.dumps(self.summary.get(run, {}))
        texts |= {"config": "{}", "wandbConfig": '{"t": 1}'}
        return {"id": run, "name": run, "displayName": run, "tags": []} | counts | texts


@contextlib.contextmanager
def wandb_server() -> Iterator[Uploads]:
    """Serve until the end of the block."""
    uploads = Uploads()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *arguments: object) -> None: ...

        def do_PUT(self) -> None:
            self._read()
            self._reply({})

        def do_POST(self) -> None:
            sent = json.loads(self._read())
            if stream := re.fullmatch(r"/files/.*/(\w+)/file_stream", self.path):
                uploads.stream(stream[1], sent)
                self._reply({})
            else:
                self._reply({"data": uploads.answer(sent["query"], sent.get("variables") or {})})

        def _read(self) -> bytes:
            content = self.rfile.read(int(self.headers["Content-Length"] or 0))
            zipped = self.headers["Content-Encoding"] == "gzip"
            return gzip.decompress(content) if zipped else content

        def _reply(self, answer: Row) -> None:
            content = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    class Server(http.server.ThreadingHTTPServer):
        def handle_error(self, request: object, client_address: object) -> None: ...

    with Server(("127.0.0.1", 0), Handler) as server:
        uploads.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield uploads
        finally:
            server.shutdown()
            thread.join()
