"""Policies as a mesh has them, of any size: namespaces with ten rules each, and a hundredth of denials for all.

Nine of ten allow rules name one workload, one its whole namespace. Half of the denials shut a path of one
namespace, half shut one that every namespace has, so that each of these meets a tenth of all allow rules."""

import pathlib
import sys

HEAD = """\
trust_domain: prod.example
chain: proxy
federation:
  - { trust_domain: partner.example, scope: [ "/ns/billing/**" ] }
rules:
"""


def allow(number, methods=None):
    namespace, service = divmod(number, 10)
    who, path = f"ns/n{namespace}/sa/s{service}", f"/n{namespace}/r{service}/**"
    if service == 9:
        who, path = f"ns/n{namespace}/**", f"/n{namespace}/status/**"
    methods = methods or ("GET, HEAD" if service % 2 == 0 else "POST")
    return (
        f"  - name: allow-{number}\n    effect: allow\n    from: [ \"spiffe://prod.example/{who}\" ]\n"
        f"    to: [ {{ methods: [ {methods} ], paths: [ \"{path}\" ] }} ]\n"
    )


def deny(number):
    path = f"/*/r{number % 10}/admin{number}/**" if number % 2 else f"/n{number * 10}/r0/admin/**"
    return (
        f"  - name: deny-{number}\n    effect: deny\n    from: [ \"spiffe://*/**\" ]\n"
        f"    except: [ \"spiffe://prod.example/ns/ops/**\" ]\n    to: [ {{ paths: [ \"{path}\" ] }} ]\n"
    )


EVERYBODY = "  - { name: everybody, effect: allow, from: [ \"spiffe://*/**\" ], to: [ { paths: [ \"/health\" ] } ] }\n"


def document(size, changed=0, denials=True, more=""):
    """`size` allow rules, of which the first `changed` of the second half have a method more."""
    half = size // 2
    methods = ["GET, HEAD, PUT" if half <= number < half + changed else None for number in range(size)]
    rules = [allow(number, methods[number]) for number in range(size)]
    if denials:
        rules += [deny(number) for number in range(size // 100)]
    return HEAD + "".join(rules) + more


def main(size, place):
    kinds = {
        "base": document(size),
        "one": document(size, changed=1),
        "hundred": document(size, changed=100),
        "everybody": document(size, more=EVERYBODY),
        "open": document(size, denials=False),
    }
    place.mkdir(parents=True, exist_ok=True)
    for name, text in kinds.items():
        (place / f"{name}-{size}.yaml").write_text(text)


if __name__ == "__main__":
    main(int(sys.argv[1]), pathlib.Path(sys.argv[2]))
