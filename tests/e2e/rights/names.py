"""Reads functions as PostgreSQL's own parser does, and tells which names in them a search_path
could move: those without a schema that are not PostgreSQL's own.

Standard input: {"functions": [{"name", "definition", "pinned"}], "own": {"function": [names],
"type": [names], "relation": [names]}}. Standard output: a line for each finding.
"""

import json
import re
import sys

from pglast import parse_plpgsql, parse_sql
from pglast.visitors import Visitor

# Words of PL/pgSQL that stand where a type does.
PSEUDO_TYPES = {"record", "trigger", "refcursor"}

# What format() puts in for %s: a whole name, written by a cast of regclass.
FILLED_IN = "filled_in"


class Names(Visitor):
    def __init__(self, function, own, found):
        super().__init__()
        self.function = function
        self.own = own
        self.found = found
        self.queries = set()

    def say(self, kind, name):
        self.found.add(f"{self.function['name']}: {kind} {name}")

    def visit_CommonTableExpr(self, ancestors, node):
        self.queries.add(node.ctename)

    def visit_RangeVar(self, ancestors, node):
        name = node.relname
        known = name in self.queries or name in self.own["relation"] or name == FILLED_IN
        if node.schemaname is None and not known:
            self.say("relation", name)

    def visit_FuncCall(self, ancestors, node):
        names = [part.sval for part in node.funcname]
        if len(names) == 1 and names[0] not in self.own["function"]:
            self.say("function", names[0])
        self.dynamic(node, names)

    def visit_TypeName(self, ancestors, node):
        names = [part.sval for part in node.names or ()]
        if len(names) == 1 and names[0] not in self.own["type"] | PSEUDO_TYPES | {FILLED_IN}:
            self.say("type", names[0])

    def visit_A_Expr(self, ancestors, node):
        names = [part.sval for part in node.name or ()]
        if len(names) == 1 and not self.function["pinned"]:
            self.say("operator", names[0])

    def visit_DropStmt(self, ancestors, node):
        for named in node.objects:
            if isinstance(named, tuple) and len(named) == 1:
                self.say("relation", named[0].sval)

    def dynamic(self, node, names):
        """SQL that format() makes: with something in each place, it is read as well."""
        if names[-1] != "format" or not node.args:
            return
        text = getattr(getattr(node.args[0], "val", None), "sval", None)
        if text is None or not re.match(r"\s*(SELECT|WITH|CREATE|ALTER|LOCK|DROP|INSERT|UPDATE|DELETE|REVOKE|GRANT)\b", text):
            return
        text = re.sub(r"%(\d+\$)?I", "something", text)
        text = re.sub(r"%(\d+\$)?L", "'something'", text)
        text = re.sub(r"%(\d+\$)?s", FILLED_IN, text)
        read(parse_sql(text), self.function, self.own, self.found)


def read(tree, function, own, found):
    names = Names(function, own, found)
    # Names of WITH queries come behind their uses as often as before.
    for _ in range(2):
        before = set(found)
        names.found = set() if _ == 0 else found
        names(tree)
    found |= before


def parts(tree, lines):
    """The SQL and the types within PL/pgSQL, whose body has these lines."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            if key == "PLpgSQL_expr":
                yield "expression", value["query"], value.get("parseMode", 0)
            elif key == "PLpgSQL_type":
                yield "type", value["typname"], 0
            elif key == "PLpgSQL_rec" and "lineno" in value:
                # A row: this parser looks no further for its type.
                declared = re.search(rf"\b{value['refname']}\s+([\w.]+)", lines[value["lineno"] - 1])
                yield "type", declared.group(1) if declared else "record", 0
            else:
                yield from parts(value, lines)
    elif isinstance(tree, list):
        for value in tree:
            yield from parts(value, lines)


def check_plpgsql(function, own, found):
    # This parser knows no types of other schemas than these two.
    definition = function["definition"].replace("posthorn.", "public.")
    lines = definition.split("AS $function$", 1)[-1].split("\n")
    for kind, text, mode in parts(parse_plpgsql(definition), lines):
        if kind == "type":
            name = re.sub(r"(\[.*|\(.*|%.*)", "", text).strip().strip('"')
            known = "." in name or name.lower() in PSEUDO_TYPES or name.lower() in own["type"]
            if not known and not own["spelled"].get(name.lower()):
                found.add(f"{function['name']}: type {name}")
            continue
        if mode >= 3:
            text = re.split(r":?=", text, maxsplit=1)[1]
        if mode >= 2:
            text = "SELECT " + text
        read(parse_sql(text), function, own, found)


def main():
    given = json.load(sys.stdin)
    own = {kind: set(names) for kind, names in given["own"].items()}
    # As the grammar spells some of PostgreSQL's types.
    own["spelled"] = dict.fromkeys(
        ["int", "integer", "bigint", "smallint", "boolean", "double precision", "timestamp with time zone", "interval"], True
    )
    found = set()
    for function in given["functions"]:
        if function["language"] == "plpgsql":
            check_plpgsql(function, own, found)
        else:
            read(parse_sql(function["definition"]), function, own, found)
    print("\n".join(sorted(found)))


main()
