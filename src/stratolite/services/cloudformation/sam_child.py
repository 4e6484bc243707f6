"""The child that runs the official SAM translator: a line of JSON in, a line of JSON out, until its input ends.

Started by file name, without stratolite: what it imports (50 MB) stays out of the server. It is jailed
(``runtime.guest.jail``); the parent limits its time.

in   {"template": {...}, "parameters": {...}, "region": "us-east-1"}
out  {"template": {...}} | {"errors": ["Resource with id [F] is invalid. ..."]}
"""

from __future__ import annotations

import json
import sys
from typing import Any

LAZY = True
"""botocore and the translator read their own data."""


def main() -> None:
    answers = sys.stdout
    sys.stdout = sys.stderr  # a library's print must not look like an answer
    for line in sys.stdin.buffer:
        try:
            answer = translate(json.loads(line))
        except (MemoryError, RecursionError) as error:
            answer = {
                "errors": [f"The template is too large to transform ({type(error).__name__})"]
            }
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def translate(request: dict[str, Any]) -> dict[str, Any]:
    from boto3 import Session
    from samtranslator.internal.managed_policies import get_bundled_managed_policy_map
    from samtranslator.model.exceptions import InvalidDocumentException
    from samtranslator.parser.parser import Parser
    from samtranslator.translator.arn_generator import ArnGenerator
    from samtranslator.translator.translator import Translator
    from samtranslator.utils.py27hash_fix import (
        to_py27_compatible_template,
        undo_mark_unicode_str_in_template,
    )

    template, parameters, region = request["template"], request["parameters"], request["region"]
    partition = ArnGenerator.get_partition_name(region)
    try:
        to_py27_compatible_template(template, parameters)  # deployment ids hash as AWS's do
        made = Translator(None, Parser(), boto_session=Session(region_name=region)).translate(
            template,
            parameter_values=parameters,
            get_managed_policy_map=lambda: get_bundled_managed_policy_map(partition) or {},
        )
    except InvalidDocumentException as error:
        return {"errors": [cause.message for cause in error.causes] or [error.message]}
    except Exception as error:  # noqa: BLE001 - the translator trips over odd templates in many ways
        return {
            "errors": [
                f"The template cannot be transformed: {type(error).__name__}: {error}"[:1000]
            ]
        }
    return {"template": undo_mark_unicode_str_in_template(made)}
