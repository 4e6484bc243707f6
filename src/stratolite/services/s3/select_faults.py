"""The errors of S3 Select, as AWS names them: code to message.

Source  https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html#SelectObjectContentErrorCodeList
"""

from __future__ import annotations

import re

from stratolite.errors import Fault

_MESSAGES = {
    "AmbiguousFieldName": "Field name matches to multiple fields in the file. Check the SQL expression and the file, and try again.",
    "Busy": "The service is unavailable. Please retry.",
    "CastFailed": "Attempt to convert from one data type to another using CAST failed in the SQL expression.",
    "CSVEscapingRecordDelimiter": "A quoted record delimiter was found in the file. To allow quoted record delimiters, set AllowQuotedRecordDelimiter to 'TRUE'.",
    "CSVParsingError": "Encountered an error parsing the CSV file. Check the file and try again.",
    "EvaluatorBindingDoesNotExist": "A column name or a path provided does not exist in the SQL expression.",
    "EvaluatorInvalidArguments": "Incorrect number of arguments in the function call in the SQL expression.",
    "EvaluatorInvalidTimestampFormatPatternSymbol": "The timestamp format pattern contains a symbol in the SQL expression that is not valid.",
    "EvaluatorInvalidTimestampFormatPatternToken": "The timestamp format pattern contains a token in the SQL expression that is not valid.",
    "EvaluatorNegativeLimit": "LIMIT must not be negative.",
    "EvaluatorUnterminatedTimestampFormatPatternToken": "The timestamp format pattern contains an unterminated token in the SQL expression.",
    "ExpressionTooLong": "The SQL expression is too long: The maximum byte-length for the SQL expression is 256 KB.",
    "ExternalEvalException": "The query cannot be evaluated. Check the file and try again.",
    "IncorrectSqlFunctionArgumentType": "Incorrect type of arguments in function call in the SQL expression.",
    "IntegerOverflow": "An integer overflow or underflow occurred in the SQL expression.",
    "InternalError": "An internal error occurred.",
    "InvalidDataSource": "The data source in the FROM clause must be S3Object.",
    "InvalidDataType": "The SQL expression contains an invalid data type.",
    "InvalidKeyPath": "Key path in the SQL expression is invalid.",
    "InvalidTextEncoding": "Invalid encoding type. Only UTF-8 encoding is supported.",
    "JSONParsingError": "Encountered an error parsing the JSON file. Check the file and try again.",
    "LexerInvalidChar": "The SQL expression contains an invalid character.",
    "LexerInvalidIONLiteral": "The SQL expression contains an invalid ION literal.",
    "LikeInvalidInputs": "Invalid argument given to the LIKE clause in the SQL expression.",
    "MaxOperatorsExceeded": "Failed to parse SQL expression, try reducing complexity. For example, reduce number of operators used.",
    "MissingHeaders": "Some headers in the query are missing from the file. Please check the file and try again.",
    "MultipleDataSourcesUnsupported": "Multiple data sources are not supported.",
    "OverMaxRecordSize": "The length of a record in the input or result is greater than the maxCharsPerRecord of 1 MB.",
    "ParquetParsingError": "Error parsing Parquet file. Please check the file and try again.",
    "ParseAsteriskIsNotAloneInSelectList": "Other expressions are not allowed in the SELECT list when '*' is used without dot notation in the SQL expression.",
    "ParseEmptySelect": "The SQL expression contains an empty SELECT.",
    "ParseExpectedDatePart": "Did not find the expected date part in the SQL expression.",
    "ParseExpectedExpression": "Did not find the expected SQL expression.",
    "ParseExpectedIdentForAlias": "Did not find the expected identifier for the alias in the SQL expression.",
    "ParseExpectedKeyword": "Did not find the expected keyword in the SQL expression.",
    "ParseExpectedLeftParenAfterCast": "Did not find expected the left parenthesis after CAST in the SQL expression.",
    "ParseExpectedNumber": "Did not find the expected number in the SQL expression.",
    "ParseExpectedTypeName": "Did not find the expected type name in the SQL expression.",
    "ParseExpectedWhenClause": "Did not find the expected WHEN clause in the SQL expression. CASE is not supported.",
    "ParseInvalidPathComponent": "The SQL expression contains an invalid path component.",
    "ParseMalformedJoin": "JOIN is not supported in the SQL expression.",
    "ParseNonUnaryAgregateFunctionCall": "Only one argument is supported for aggregate functions in the SQL expression.",
    "ParseSelectMissingFrom": "The SQL expression contains a missing FROM after SELECT list.",
    "ParseUnExpectedKeyword": "The SQL expression contains an unexpected keyword.",
    "ParseUnexpectedToken": "The SQL expression contains an unexpected token.",
    "ParseUnsupportedCallWithStar": "Only COUNT with (*) as a parameter is supported in the SQL expression.",
    "UnsupportedFunction": "Encountered an unsupported SQL function.",
    "UnsupportedSqlStructure": "Encountered an unsupported SQL structure. Check the SQL Reference.",
    "UnsupportedTypeForQuerying": "Your query contains an unsupported type for comparison (e.g. verifying that a Parquet INT96 column type is greater than 0).",
    "ValueParseFailure": "Time stamp parse failure in the SQL expression.",
}  # fmt: skip
_STATUSES = {"Busy": 503, "InternalError": 500}


def fault(code: str) -> Fault:
    return Fault(code, _MESSAGES[code], status=_STATUSES.get(code, 400))


def marked(code: str) -> str:
    """What a query raises for itself, where only its run can tell; ``raised`` reads it."""
    return f"\x02{code}\x02"


_BY_KIND = {
    "ConversionException": "CastFailed",
    "OutOfRangeException": "IntegerOverflow",
    "OutOfMemoryException": "Busy",
    "MemoryError": "Busy",
}
_BY_WORDS = (
    ("", "quoted new lines", "CSVEscapingRecordDelimiter"),
    ("", "is not utf-8 encoded", "InvalidTextEncoding"),
    ("", "Maximum line size of", "OverMaxRecordSize"),
    ("", "CSV Error on Line", "CSVParsingError"),  # it goes on with the options: escape = ...
    ("", "expression depth", "MaxOperatorsExceeded"),
    ("BinderException", "Cannot compare", "UnsupportedTypeForQuerying"),
    ("BinderException", "~~", "LikeInvalidInputs"),
    ("BinderException", "GROUP BY", "UnsupportedSqlStructure"),
    ("BinderException", "aggregate", "UnsupportedSqlStructure"),
    ("BinderException", "WHERE clause", "UnsupportedSqlStructure"),
    ("BinderException", "No function matches", "IncorrectSqlFunctionArgumentType"),
    ("BinderException", "Could not choose", "IncorrectSqlFunctionArgumentType"),
    ("BinderException", "Cannot mix", "IncorrectSqlFunctionArgumentType"),
    ("BinderException", "", "EvaluatorBindingDoesNotExist"),
    ("", "Division by zero", "ExternalEvalException"),
    ("", "Overflow in", "IntegerOverflow"),
    ("", "escape", "LikeInvalidInputs"),
)
_BY_FORMAT = {"csv": "CSVParsingError", "json": "JSONParsingError", "parquet": "ParquetParsingError"}  # fmt: skip


def raised(kind: str, message: str, file_format: str) -> Fault:
    """The error for what DuckDB raised: its own words, which hold paths, go no further."""
    if kind in ("InvalidInputException", "Refused"):
        own = re.search("\x02([A-Za-z]+)\x02", message)
        if own is not None and own[1] in _MESSAGES:
            return fault(own[1])
    if kind in _BY_KIND:
        return fault(_BY_KIND[kind])
    for of, words, code in _BY_WORDS:
        if (not of or of == kind) and words in message:
            return fault(code)
    if kind in ("InvalidInputException", "IOException", "SerializationException", "InternalException", "Error"):  # fmt: skip
        return fault(_BY_FORMAT[file_format])
    return fault("InternalError")
