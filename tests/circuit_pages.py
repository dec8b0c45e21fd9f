"""Pages of circuits in tests: a small circuit full of hostile text, and a page after its scripts have run."""

import json
import re
from functools import partial
from html.parser import HTMLParser

from browser import HOSTILE, document_after_scripts

from circuits.export.page import page_text
from circuits.graph.circuit import Circuit, Edge, MetricValues, Node
from sae.host.sites import Site


def chain():
    """embed/1 -> resid_post.0/2 -> resid_post.1/3, and embed/1 -> resid_post.1/4; strengths fall in this order."""
    tokens = ["<s>", HOSTILE]
    make = partial(Node, position=1, token=HOSTILE, activation=1.0, baseline_activation=0.0)
    nodes = [
        make(site=Site("embed", None), feature=1, indirect_effect=-4.0, label=HOSTILE, label_f1=0.5),
        make(site=Site("resid_post", 0), feature=2, indirect_effect=3.0),
        make(site=Site("resid_post", 1), feature=3, indirect_effect=-2.0),
        make(site=Site("resid_post", 1), feature=4, indirect_effect=-1.0),
        make(site=Site("resid_post", 0), feature=None, indirect_effect=-0.5),
    ]
    joined = [(nodes[0], nodes[1]), (nodes[1], nodes[2]), (nodes[0], nodes[3])]
    edges = [Edge(source.id, target.id, -0.5) for source, target in joined]
    return Circuit("".join(tokens), tokens, HOSTILE, " y", "exact", "zero", MetricValues(2.0, -1.0), nodes, edges)


class Document(HTMLParser):
    """The elements of a page: tag, attributes, own text."""

    def __init__(self, text):
        super().__init__()
        self.elements = []
        self.open = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        element = {"tag": tag, "text": "", **dict(attrs)}
        self.elements.append(element)
        if tag not in ("meta", "input", "br"):
            self.open.append(element)

    def handle_endtag(self, tag):
        while self.open and self.open.pop()["tag"] != tag:
            pass

    def handle_data(self, data):
        if self.open:
            self.open[-1]["text"] += data

    def find(self, **wanted):
        return [each for each in self.elements if all(each.get(key) == value for key, value in wanted.items())]

    def classed(self, *names):
        return [each for each in self.elements if set(names) <= set((each.get("class") or "").split())]


def without(elements, name):
    return [each for each in elements if name not in each["class"].split()]


def data_of(text):
    return json.loads(re.search(r'<script type="application/json" id="circuit">(.*?)</script>', text, re.S)[1])


def opened(circuit, folder, fragment="", *, then=""):
    """The page's document in a headless browser after its script and `then` have run without a complaint."""
    found = document_after_scripts(page_text(circuit), folder / "circuit.html", folder / "profile", fragment, then=then)
    document = Document(found)
    assert document.find(tag="body")[0].get("data-state") == "ready"
    assert document.find(id="problem")[0]["text"] == ""
    return document
