#!/usr/bin/env python3
"""Records what real clients of OpenAI's APIs send, and what the scripted model answers them.

    ENSAGE_CLIENTS=DIR DIR/python/bin/python tests/clients/record_llm.py FAKE_LLM.py OUT

Each file of OUT names its peer and version: NAME-VERSION-WHAT.json is a request's body, .sse an answer. Long texts and
schemas are cut, ids and times that differ from run to run are made equal. Nothing but loopback is contacted.
"""
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import urllib.request

import openai

TEXT_MAX = 80
PROMPT = 'Do it. [[tool:exec {"input":"const r = await tools.exec_command({cmd: \\"cat a.txt\\"}); text(r.output);"}]] [[say:DONE]]'
VARYING = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def cut(value, key=""):
    """The same shape with short texts; a schema is opaque to any reader and becomes an empty one."""
    if key in ("parameters", "output_schema"):
        return {"type": "object"}
    if isinstance(value, dict):
        return {k: cut(v, k) for k, v in value.items()}
    if isinstance(value, list):
        return [cut(v) for v in value]
    if isinstance(value, str):
        return VARYING.sub("00000000-0000-7000-8000-000000000000", value)[:TEXT_MAX]
    return 0 if isinstance(value, float) else value


def codex(base, home):
    """One task with one tool call: two requests by POST."""
    work = home / "work"
    work.mkdir()
    (work / "a.txt").write_text("what the file says\n")
    program = pathlib.Path(os.environ["ENSAGE_CLIENTS"]) / "bin"
    env = {"PATH": f"{program}:/usr/bin:/bin", "HOME": str(home), "CODEX_API_KEY": "sk-none"}
    version = subprocess.run(["codex", "--version"], env=env, capture_output=True, text=True, check=True).stdout.split()[-1]
    words = ["exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox", "-c", f'openai_base_url="{base}"', PROMPT]
    subprocess.run(["codex", *words], env=env, cwd=work, stdin=subprocess.DEVNULL, check=True, timeout=120)
    return f"codex-{version}", ["tool", "result"]


def sdk(base):
    """All that the SDK can say in one request of each API."""
    client = openai.OpenAI(api_key="sk-none", base_url=base, max_retries=0)
    client.chat.completions.create(
        model="gpt-5", messages=[
            {"role": "developer", "content": "be kind"},
            {"role": "user", "content": [
                {"type": "text", "text": "hi"},
                {"type": "image_url", "image_url": {"url": "https://img.example/a.png"}},
                {"type": "file", "file": {"file_id": "file-1"}},
                {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}}]},
            {"role": "assistant", "audio": {"id": "audio_1"}, "tool_calls": [
                {"id": "1", "type": "function", "function": {"name": "look", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "1", "content": "x"}],
        tools=[{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}},
               {"type": "custom", "custom": {"name": "write"}}],
        functions=[{"name": "old"}], web_search_options={"search_context_size": "low"}, moderation={"model": "omni"},
        audio={"format": "mp3", "voice": "alloy"}, modalities=["text"], store=True, metadata={"a": "b"},
        reasoning_effort="low", prompt_cache_key="k", safety_identifier="s", verbosity="low")
    mcp = {"type": "mcp", "server_label": "evil", "server_url": "https://evil.example/mcp", "authorization": "t"}
    client.responses.create(
        model="gpt-5", instructions="be kind", previous_response_id="resp_1", prompt={"id": "pmpt_1", "variables": {"a": "b"}},
        input=[
            {"role": "user", "content": [
                {"type": "input_text", "text": "hi"},
                {"type": "input_image", "detail": "auto", "image_url": "https://img.example/a.png"},
                {"type": "input_file", "file_url": "https://img.example/b.pdf"},
                {"type": "input_file", "file_id": "file-1"}]},
            {"type": "item_reference", "id": "msg_1"},
            {"type": "additional_tools", "role": "developer", "tools": [mcp]},
            {"type": "mcp_approval_response", "approval_request_id": "mcpr_1", "approve": True}],
        tools=[
            {"type": "function", "name": "look", "parameters": {"type": "object"}, "strict": False},
            {"type": "custom", "name": "write"}, {"type": "local_shell"}, {"type": "apply_patch"},
            {"type": "shell", "environment": {"type": "local"}},
            {"type": "namespace", "name": "n", "description": "d", "tools": [{"type": "function", "name": "deep"}]},
            {"type": "web_search_2025_08_26"}, {"type": "web_search_preview"}, {"type": "tool_search"},
            {"type": "file_search", "vector_store_ids": ["vs_1"]},
            {"type": "code_interpreter", "container": {"type": "auto", "file_ids": ["file-2"], "network_policy": {
                "type": "allowlist", "allowed_domains": ["x.example"],
                "domain_secrets": [{"domain": "x.example", "name": "n", "value": "v"}]}}},
            {"type": "image_generation", "model": "gpt-image"}, {"type": "programmatic_tool_calling"},
            {"type": "mcp", "server_label": "mail", "connector_id": "connector_gmail", "authorization": "t"}],
        conversation="conv_1", background=False, store=True, include=["reasoning.encrypted_content"],
        tool_choice={"type": "web_search_preview"}, reasoning={"effort": "low"}, moderation={"model": "omni"},
        truncation="auto", text={"verbosity": "low"}, metadata={"a": "b"}, prompt_cache_key="k")
    return f"openai-python-{openai.__version__}", ["chat-all", "responses-all"]


def streams(base):
    """Answers of the scripted model, as they are on the wire."""
    function = {"name": "look", "parameters": {"type": "object"}}
    for name, path, body in [
        ("chat-tool", "chat/completions", {"messages": [{"role": "user", "content": "[[tool:look {}]]"}],
                                           "tools": [{"type": "function", "function": function}],
                                           "stream_options": {"include_usage": True}}),
        ("responses-tool", "responses", {"input": "[[tool:look {}]]", "tools": [{"type": "function", **function}]}),
    ]:
        body = json.dumps({"model": "gpt-5", "stream": True, **body}).encode()
        request = urllib.request.Request(f"{base}/{path}", body, {"content-type": "application/json"})
        with urllib.request.urlopen(request) as answer:
            yield f"fake-llm-{name}.sse", re.sub(rb"\b1\d{9}\b", b"1700000000", answer.read())


def main():
    fake, out = sys.argv[1], pathlib.Path(sys.argv[2])
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        log = folder / "llm.log"
        server = subprocess.Popen([sys.executable, fake, "--port", "0", "--no-ws", "--log", log], stdout=subprocess.PIPE, text=True)
        try:
            base = server.stdout.readline().split()[-1] + "/v1"
            for record in (lambda: codex(base, folder), lambda: sdk(base)):
                seen = log.read_text().count("\n") if log.exists() else 0
                peer, names = record()
                lines = [json.loads(line) for line in log.read_text().splitlines()[seen:]]
                bodies = [line["body"] for line in lines if line.get("method") == "POST"]
                assert len(bodies) == len(names), (peer, len(bodies))
                for name, body in zip(names, bodies):
                    text = json.dumps(cut(body), indent=1, ensure_ascii=False)
                    (out / f"{peer}-{name}.json").write_text(text + "\n")
            for name, answer in streams(base):
                (out / name).write_bytes(answer)
        finally:
            server.kill()
            server.wait()


main()
