"""Reads messages back with parsers that share no code with Posthorn: json, urllib, libxml2.

One request a line, one answer a line, both JSON. The answer is null, or the difference.
"""

import json
import re
import sys
import time
from base64 import b64decode
from urllib.parse import parse_qsl, urlsplit

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from lxml import etree
from standardwebhooks import Webhook, WebhookVerificationError


class Number(str):
    """A number's text, which is not equal to a string of the same characters."""

    def __eq__(self, other):
        return isinstance(other, Number) and str.__eq__(self, other)

    __hash__ = str.__hash__


class Members(list):
    """An object's members, in order, repeated names included."""


def parse(text):
    return json.loads(
        text, parse_int=Number, parse_float=Number, object_pairs_hook=Members
    )


def characters(text):
    """Half of a surrogate pair is no character."""
    return re.sub("[\ud800-\udfff]", "\ufffd", text)


def scalar(value):
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return characters(str(value))


# docs/WIRE-FORMS.md, "Forms"


def pairs(name, value):
    if isinstance(value, Members) and value:
        for key, inner in value:
            yield from pairs(f"{name}.{characters(key)}", inner)
    elif isinstance(value, list) and not isinstance(value, Members) and value:
        for index, inner in enumerate(value):
            yield from pairs(f"{name}.{index}", inner)
    else:
        yield name, "" if isinstance(value, list) else scalar(value)


def form(data, nested, body):
    sent = parse_qsl(body, keep_blank_values=True, errors="strict")
    if nested == "dotted":
        expected = [
            pair for key, value in data for pair in pairs(characters(key), value)
        ]
        return sent == expected or f"{sent!r} is not {expected!r}"
    if len(sent) != len(data):
        return f"{len(sent)} pairs for {len(data)} members"
    for (name, text), (key, value) in zip(sent, data):
        same = parse(text) == value if isinstance(value, list) else text == scalar(value)
        if name != characters(key) or not same:
            return f"{name!r}={text!r} is not {key!r}={value!r}"
    return True


# docs/WIRE-FORMS.md, "XML"

ILLEGAL = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def carried(text):
    return ILLEGAL.sub("\ufffd", text)


def elements(name, value):
    if isinstance(value, Members):
        inner = [part for key, item in value for part in elements(key, item)]
        yield carried(name), inner or ""
    elif isinstance(value, list):
        for item in value:
            if isinstance(item, list) and not isinstance(item, Members):
                yield carried(name), list(elements("item", item)) or ""
            else:
                yield from elements(name, item)
    else:
        yield carried(name), carried(scalar(value))


def read(element):
    original = element.get("name")
    if original == element.tag:
        raise ValueError("a name that says itself twice")
    if set(element.attrib) - {"name"}:
        raise ValueError("an attribute of another name")
    inner = [read(part) for part in element]
    if inner and (element.text or any(part.tail for part in element)):
        raise ValueError("text between elements")
    return element.tag if original is None else original, inner or element.text or ""


def xml(data, body):
    root = etree.fromstring(body.encode())
    sent = [read(part) for part in root]
    expected = [part for key, value in data for part in elements(key, value)]
    return sent == expected or f"{sent!r} is not {expected!r}"


def strings(value):
    if isinstance(value, Members):
        for key, inner in value:
            yield key
            yield from strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner)
    elif isinstance(value, str) and not isinstance(value, Number):
        yield value


# Signatures


def signed(body, headers, secrets):
    for secret in secrets:
        if secret.startswith("whsec_"):
            Webhook(secret).verify(body, headers)
        else:
            message = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.{body}"
            verify_ed25519(secret, message, headers["webhook-signature"])
    return True


def verify_ed25519(secret, message, signatures):
    seed = b64decode(secret.removeprefix("whsk_"))[:32]
    public = Ed25519PrivateKey.from_private_bytes(seed).public_key()
    for signature in signatures.split():
        version, text = signature.split(",", 1)
        if version == "v1a":
            try:
                return public.verify(b64decode(text), message.encode())
            except InvalidSignature:
                pass
    raise InvalidSignature("no v1a signature fits")


CHECKS = {
    "now": lambda: str(int(time.time())),
    "json": lambda name, value, body: parse(body) == Members([(name, parse(value))]),
    "form": lambda data, nested, body: form(parse(data), nested, body),
    "query": lambda data, nested, url: form(parse(data), nested, urlsplit(url).query),
    "xml": lambda data, body: xml(parse(data), body),
    "xml_refused": lambda data, refused: refused
    == any(ILLEGAL.search(text) for text in strings(parse(data))),
    "signed": signed,
}


def answer(request):
    try:
        found = CHECKS[request.pop("check")](**request)
    except (
        ValueError,
        etree.XMLSyntaxError,
        InvalidSignature,
        WebhookVerificationError,
    ) as error:
        return f"{type(error).__name__}: {error}"
    if isinstance(found, bool):
        return None if found else "not the same"
    return found


for line in sys.stdin:
    # With escapes, so that no half of a pair is lost on the way.
    print(json.dumps(answer(json.loads(line))), flush=True)
