"""A mail server for tests: aiosmtpd, which writes what it took, as Python's own parser understands it, as a line of JSON.

    smtpd.py plain|starttls|tls CERT KEY [USER PASSWORD]

Prints its port, then a line for each mail. Recipients that begin with `refused` are refused, with `later` put off; a
mail whose sender begins with `full` is put off when all of it was sent.
"""

import asyncio
import email
import email.policy
import json
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult

mode, cert, key = sys.argv[1:4]
account = tuple(text.encode() for text in sys.argv[4:6])


class Handler:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("refused"):
            return "550 5.1.1 nobody of that name"
        if address.startswith("later"):
            return "451 4.7.1 greylisted"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        if envelope.mail_from.startswith("full"):
            return "452 4.3.1 no room"
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        text, html = (mail.get_body((kind,)) for kind in ("plain", "html"))
        print(json.dumps({
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "encrypted": session.ssl is not None or mode == "tls",
            "authenticated": session.authenticated,
            "headers": [[name, str(value)] for name, value in mail.items()],
            "text": text.get_content(),
            "html": html.get_content(),
            "parts": [part.get_content_type() for part in mail.walk()],
            "defects": [repr(defect) for part in mail.walk() for defect in part.defects],
        }), flush=True)
        return "250 2.0.0 kept as 1"


def authenticate(server, session, envelope, mechanism, data):
    return AuthResult(success=(data.login, data.password) == account, handled=False)


async def main():
    context = None
    if mode != "plain":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
    more = {"authenticator": authenticate, "auth_required": True} if account else {}
    starts = mode == "starttls"

    def session():
        return SMTP(
            Handler(),
            hostname="localhost",
            tls_context=context if starts else None,
            require_starttls=starts,
            auth_require_tls=starts,
            **more,
        )

    server = await asyncio.get_running_loop().create_server(
        session, "127.0.0.1", 0, ssl=context if mode == "tls" else None
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    # The end of our input is the end of the test.
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


asyncio.run(main())
