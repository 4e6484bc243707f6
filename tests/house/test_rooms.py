"""House rules a linter cannot check: each room says its job, each service is whole."""

from __future__ import annotations

import ast
import inspect
import re
from keyword import iskeyword
from pathlib import Path

import botocore.session
import pytest

import stratolite
from stratolite.service import Service, snake
from stratolite.services import OFFERS

SRC = Path(stratolite.__file__).parent
SESSION = botocore.session.get_session()

# Errors any AWS service may answer; they are in no service's model.
# https://docs.aws.amazon.com/awssupport/latest/APIReference/CommonErrors.html
COMMON_FAULTS = {
    "AccessDenied", "AccessDeniedException", "ExpiredToken", "InternalFailure", "InvalidParameterCombination",
    "InvalidParameterValue", "NotImplemented", "ServiceUnavailable", "ThrottlingException", "ValidationError",
    "ValidationException", "MalformedQueryString", "SerializationException",
}  # fmt: skip
# Documented in the service's API reference, missing from its botocore model.
DOCUMENTED = {
    "s3": "https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html",
    "s3control": "https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html",
    "cloudformation": "https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/CommonErrors.html",
}

# What AWS answers and its model does not list.
UNMODELLED = {
    # the FailureCode of an import that could not read its file, with S3 before it
    "dynamodb": {"InvalidObjectState"},
    # "Request must be smaller than 70167211 bytes for the CreateFunction operation"
    "lambda": {"RequestEntityTooLargeException"},
    # recorded against AWS by LocalStack, tests/aws/services/sqs/test_sqs.snapshot.json
    "sqs": {"MissingParameter"},
}


@pytest.mark.parametrize("path", sorted(SRC.rglob("*.py")), ids=lambda p: str(p.relative_to(SRC)))
def test_every_file_says_its_job(path: Path) -> None:
    """The first statement is a docstring whose first line is one sentence."""
    doc = ast.get_docstring(ast.parse(path.read_text()))
    assert doc, f"{path} has no sign on its door"
    assert re.match(r"^[^\n]+[.:]", doc), f"{path}: first line is not a sentence"


def test_folders_and_registry_agree() -> None:
    """A folder is the botocore name, with "_" for "-" and after a Python keyword (lambda_)."""
    folders = {p.name for p in (SRC / "services").iterdir() if (p / "__init__.py").exists()}
    services = {o.service.replace("-", "_") for o in OFFERS}
    assert folders == {name + "_" * iskeyword(name) for name in services}
    names = [o.service for o in OFFERS]
    assert names == sorted(set(names))


def service_class(name: str) -> type[Service]:
    import importlib

    offer = next(o for o in OFFERS if o.service == name)
    module, _, cls = offer.place.partition(":")
    return getattr(importlib.import_module(f"stratolite.services.{module}"), cls)


NAMES = [o.service for o in OFFERS]
SHAPE = ["self", "call", "request"]
OWN = {n for n in dir(Service) if not n.startswith("_")}


@pytest.mark.parametrize("name", NAMES)
def test_public_methods_are_aws_operations(name: str) -> None:
    """A public method of an operation's form that AWS does not define is a misspelled operation."""
    model = SESSION.get_service_model(name)
    known = {snake(op) for op in model.operation_names}
    cls = service_class(name)
    ours = {
        n
        for c in cls.__mro__
        if c.__module__.startswith("stratolite.services.")
        for n, f in vars(c).items()
        if callable(f) and not n.startswith("_") and list(inspect.signature(f).parameters) == SHAPE
    }
    assert ours - OWN <= known


@pytest.mark.parametrize("name", NAMES)
def test_our_snake_case_is_botocores(name: str) -> None:
    """The method name the dispatcher looks for is the name users know from boto3."""
    from botocore import xform_name

    for operation in SESSION.get_service_model(name).operation_names:
        assert snake(operation) == xform_name(operation)


@pytest.mark.parametrize("name", NAMES)
def test_fault_codes_are_in_the_model(name: str) -> None:
    """Every literal Fault("Code", ...) of a service is an error of its AWS model, or a common one."""
    if name in DOCUMENTED:
        pytest.skip(f"its model lists few of its errors; see {DOCUMENTED[name]}")
    model = SESSION.get_service_model(name)
    shapes = {s.metadata.get("error", {}).get("code", s.name) for s in model.error_shapes}
    shapes |= {s.name for s in model.error_shapes} | UNMODELLED.get(name, set())
    for path in (SRC / "services" / (name + "_" * iskeyword(name))).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Fault":
                code = node.args[0]
                if isinstance(code, ast.Constant):
                    assert code.value in shapes | COMMON_FAULTS, (
                        f"{path.name}: {code.value} is not an error of {name}"
                    )


def test_no_absolute_machine_path_in_the_tree() -> None:
    """What is committed runs on anybody's machine."""
    root = SRC.parents[1]
    bad = re.compile(r"/(root|work|home)/[a-z]")
    for folder in ("src", "examples", "docs", "bench"):
        for path in (root / folder).rglob("*"):
            if path.is_relative_to(root / "bench" / "out"):
                continue  # what `make bench` installed
            if path.suffix in {".py", ".md", ".toml", ".yaml", ".sh"}:
                assert not bad.search(path.read_text()), path
