# Gets, sends, and is refused, with one of Python's HTTP packages.
#
#   python transfer.py PACKAGE HOST      in a folder with the file `up`; $LAB_TOKEN is the credential
#
# Prints the protocol and the SHA-256 of what it got, what the server said about what it sent, and the refusal.
import asyncio
import hashlib
import os
import sys

package, host = sys.argv[1:]
url = f"https://{host}"
headers = {"authorization": "Bearer " + os.environ["LAB_TOKEN"]}
with open("up", "rb") as file:
    up = file.read()


def tell(version, down, said, status, reason):
    print(version, hashlib.sha256(down).hexdigest())
    print(said)
    print(status, reason)


def with_requests():
    import requests

    with requests.Session() as session:
        session.headers.update(headers)
        down = session.get(url + "/ok/down", timeout=60)
        said = session.put(url + "/ok/up", data=up, timeout=60)
        no = session.get(url + "/no", timeout=60)
        tell(f"1.{down.raw.version - 10}", down.content, said.text, no.status_code, no.json()["reason"])


def with_httpx():
    import httpx

    with httpx.Client(http2=True, headers=headers, timeout=60) as client:
        down = client.get(url + "/ok/down")
        said = client.put(url + "/ok/up", content=up)
        no = client.get(url + "/no")
        tell(down.http_version.removeprefix("HTTP/"), down.content, said.text, no.status_code, no.json()["reason"])


async def with_aiohttp():
    import aiohttp

    async with aiohttp.ClientSession(trust_env=True, headers=headers) as session:
        async with session.get(url + "/ok/down") as down:
            body = await down.read()
        async with session.put(url + "/ok/up", data=up) as answer:
            said = await answer.text()
        async with session.get(url + "/no") as no:
            reason = (await no.json(content_type=None))["reason"]
        tell(f"{down.version.major}.{down.version.minor}", body, said, no.status, reason)


if package == "aiohttp":
    asyncio.run(with_aiohttp())
else:
    {"requests": with_requests, "httpx": with_httpx}[package]()
