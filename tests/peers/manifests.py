"""Prints the objects of Kubernetes manifests, or the values of a Helm chart, as one JSON list."""

import json
import sys

import yaml

documents = []
for name in sys.argv[1:]:
    with open(name, encoding="utf-8") as file:
        documents.extend(document for document in yaml.safe_load_all(file) if document)
json.dump(documents, sys.stdout)
