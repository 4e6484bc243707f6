"""Mapping templates, JSONPath and schemas: the pure parts of REST APIs."""

from __future__ import annotations

import json
from typing import Any

import pytest

from stratolite.services.apigateway import jsonpath, vtl
from stratolite.services.apigateway.incoming import Incoming
from stratolite.services.apigateway.mapping import Input, Util
from stratolite.services.apigateway.routing import Router
from stratolite.services.apigateway.validation import checker
from stratolite.services.apigateway.vtl_values import Failed


def rendered(template: str, body: Any = "", **context: Any) -> str:
    incoming = Incoming(
        "GET", "/a", "/s/a", {"X-A": ["1"], "Same": ["header"]}, {"q": ["v"], "Same": ["query"]}, "1.1.1.1", "http",
        parameters={"id": "7"},
    )  # fmt: skip
    text = body if isinstance(body, str) else json.dumps(body)
    names = {
        "input": Input(text, incoming),
        "util": Util(),
        "context": {"stage": "prod", "identity": {"sourceIp": "1.2.3.4"}, **context},
        "stageVariables": {"a": "b"},
    }
    return vtl.parse(template).render(names)


@pytest.mark.parametrize(
    ("body", "template", "made"),
    [
        ({"foo": "bar"}, "$result", "{foo=bar}"),
        ([{"foo": "bar"}], "$result", '[{"foo":"bar"}]'),
        ({"foo": [{"nested": "bar"}]}, "$result", '{foo=[{"nested":"bar"}]}'),
        ({"bigger": "dict", "to": "test", "with": "separators"}, "$result", "{bigger=dict, to=test, with=separators}"),
        ({"nested": {"foo": "bar"}}, "$result.nested", "{foo=bar}"),
        ([[{"foo": "bar"}]], "$result[0]", '[{"foo":"bar"}]'),
        ({"list": [{"foo": "bar"}]}, "$result.toString()", '{list=[{"foo":"bar"}]}'),
    ],
)  # fmt: skip
def test_values_are_shown_as_aws_shows_them(body: Any, template: str, made: str) -> None:
    """As LocalStack recorded it against AWS (test_input_path_template_formatting)."""
    assert rendered(f'#set($result = $input.path("$.json")){template}', {"json": body}) == made


@pytest.mark.parametrize(
    ("body", "path", "made"),
    [
        ("", "$.none", '{"body": , "nested": , "isNull": "true", "isEmptyString": "true"}'),
        ({"a": []}, "$.a", '{"body": [], "nested": , "isNull": "false", "isEmptyString": "false"}'),
        ({"a": None}, "$.a", '{"body": , "nested": , "isNull": "true", "isEmptyString": "true"}'),
    ],
)
def test_what_is_not_there_is_nothing_and_null(body: Any, path: str, made: str) -> None:
    """As LocalStack recorded it against AWS (test_input_path_template_formatting)."""
    template = (
        f'#set($result = $input.path("{path}"))'
        '{"body": $result, "nested": $result.nested, "isNull": #if( $result == $null )"true"#else"false"#end, '
        '"isEmptyString": #if( $result == "" )"true"#else"false"#end}'
    )
    assert rendered(template, body) == made


@pytest.mark.parametrize(
    ("template", "made"),
    [
        ("plain $5 # not ## gone\nrest", "plain $5 # not rest"),
        ("a#* gone *#b #[[$x #if]]# \\$y", "ab $x #if $y"),
        ("$stageVariables.a.$context.identity.sourceIp", "b.1.2.3.4"),
        ("${stageVariables.a}x $!{nothing}-$!nothing,$nothing", "bx -,"),
        ("$input.params('id') $input.params('Same') $input.params('x-a') [$input.params('no')]", "7 query 1 []"),
        ("$input.params().header.get('X-A') $input.params().path.id", "1 7"),
        ("#set($m = {'k': [1, 2.5, true, null]})$m.k $m['k'][1] $m.get('k').size()", "[1, 2.5, true, null] 2.5 4"),
        ("#set($m = {})#set($m.a = 1)#set($m['b'] = 'x')$m $m.keySet()", "{a=1, b=x} [a, b]"),
        ("#foreach($i in [1..3])$i$foreach.index#if($foreach.hasNext),#end#end", "10,21,32"),
        ("#foreach($i in [1..9])#if($i == 3)#break#end$i#end!", "12!"),
        ("#foreach($e in {'a': 1}.entrySet())$e.key=$e.value#end", None),
        ("#set($m = {'a': 1})#foreach($e in $m.entrySet())$e.key=$e.value#end", "a=1"),
        ("a#stop b", "a"),
        ("#if(1 > 2)a#elseif('x' == \"x\" && !false)b#{else}c#end", "b"),
        ("#set($a = 7 / 2)#set($b = -7 % 3)#set($c = 2 * (3 + 1))$a $b $c", "3 -1 8"),
        ('#set($n = 2)#set($s = "n is $n and ""$n""")$s', 'n is 2 and "2"'),
        ("#if($nothing)a#{else}b#end#if(0)c#end#if('')d#end", "bcd"),
        ("$util.urlEncode('a b&ü') $util.urlDecode('a+b%26')", "a+b%26%C3%BC a b&"),
        ("$util.base64Encode('hi') $util.base64Decode('aGk=')", "aGk= hi"),
        ("#set($p = $util.parseJson('{\"a\":[1,{\"b\":2}]}'))$p.a[1].b", "2"),
        ("$util.escapeJavaScript('it''s \"q\" \\ ü')", "it\\'s \\\"q\\\" \\\\ \\u00FC"),
        ("$input.body.length() $input.json('$.none')", '2 ""'),
        ("#set($s = '')#if($s && !$s.empty)a#{else}b#end#set($s = 'x')#if(!$s.empty)c#end", "bc"),
        ("#set($s = 'aXbXc')$s.replaceAll('X', '-') $s.split('X').size() $s.substring(1, 3) $s.indexOf('b')", "a-b-c 3 Xb 2"),
        ("#set($s = \"a'b\")$s.replaceAll(\"'\", \"\\\\'\") $s.contains('b') $s.toUpperCase()", "a\\'b true A'B"),
    ],
)  # fmt: skip
def test_velocity_as_far_as_mapping_templates_use_it(template: str, made: str | None) -> None:
    """https://velocity.apache.org/engine/1.7/vtl-reference.html"""
    if made is None:
        with pytest.raises(vtl.Malformed):
            vtl.parse(template)
    else:
        assert rendered(template) == made


def test_the_pass_through_template_of_the_documentation_makes_json() -> None:
    """https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-mapping-template-reference.html"""
    template = """
#set($allParams = $input.params())
{
"body-json" : $input.json('$'),
"params" : {
#foreach($type in $allParams.keySet())
    #set($params = $allParams.get($type))
"$type" : {
    #foreach($paramName in $params.keySet())
    "$paramName" : "$util.escapeJavaScript($params.get($paramName))"
        #if($foreach.hasNext),#end
    #end
}
    #if($foreach.hasNext),#end
#end
},
"context" : {"stage": "$context.stage", "ip": "$context.identity.sourceIp"}
}"""
    assert json.loads(rendered(template, {"a": [1, "b"]})) == {
        "body-json": {"a": [1, "b"]},
        "params": {
            "path": {"id": "7"},
            "querystring": {"q": "v", "Same": "query"},
            "header": {"X-A": "1", "Same": "header"},
        },
        "context": {"stage": "prod", "ip": "1.2.3.4"},
    }


@pytest.mark.parametrize(
    "template",
    [
        "#macro(a)#end",
        "#parse('a')",
        "#evaluate('a')",
        "#if(1",
        "#foreach($a in )#end",
        "#end",
        "#set(1 = 2)",
        "#if(true)",
    ],
)
def test_what_is_no_template_or_not_offered_is_said(template: str) -> None:
    with pytest.raises(vtl.Malformed):
        vtl.parse(template)


@pytest.mark.parametrize(
    "template",
    [
        "#foreach($a in [1..9999])#foreach($b in [1..9999])x#end#end",
        "#foreach($a in [1..99999999])x#end",
        "#set($s = 'xxxxxxxx')#foreach($a in [1..60])#set($s = \"$s$s\")#end",
        "#set($l = [1])#foreach($a in [1..60])#set($x = $l.addAll($l))#end",
        "#set($n = 9)#foreach($a in [1..60])#set($n = $n * $n)#end",
        "#set($s = 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa')$s.replaceAll('(a|aa)+$', '$1')",
    ],
)
def test_a_template_cannot_keep_everybody_waiting(template: str) -> None:
    """Its work and what it makes are bounded, however it is written."""
    with pytest.raises(Failed):
        rendered(template)


def test_deep_nesting_is_refused_not_survived() -> None:
    for text in ("#if(1)" * 200 + "#end" * 200, "#set($a = " + "(" * 5000 + "1" + ")" * 5000 + ")"):
        with pytest.raises(vtl.Malformed):
            vtl.parse(text)


STORE = {
    "book": [{"t": "a", "price": 8}, {"t": "b", "price": 12}],
    "bike": {"price": 19, "x.y": 1},
}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("$.book[0].t", "a"),
        ("$['bike']['x.y']", 1),
        ("bike.price", 19),
        ("$.book[-1].price", 12),
        ("$.book[*].t", ["a", "b"]),
        ("$..price", [8, 12, 19]),
        ("$.book[0:1]", [{"t": "a", "price": 8}]),
        ("$.none.at.all", jsonpath.MISSING),
        ("$", STORE),
    ],
)
def test_json_paths_lead_where_they_say(path: str, found: Any) -> None:
    """A definite path gives a value, another one a list: https://github.com/json-path/JsonPath"""
    assert jsonpath.find(STORE, path) == found


@pytest.mark.parametrize("path", ["$.book[?(@.price < 10)]", "$.book[(@.length-1)]", "$.book.length()", "$.[", "$.a[1"])  # fmt: skip
def test_paths_with_filters_are_refused(path: str) -> None:
    with pytest.raises(jsonpath.Refused):
        jsonpath.find(STORE, path)


@pytest.mark.parametrize(
    ("path", "resource", "parameters"),
    [
        ("/", "/", {}),
        ("/pets/", "/pets", {}),
        ("/pets/7", "/pets/{id}", {"id": "7"}),
        ("/pets/mine", "/pets/mine", {}),
        ("/pets/mine/toys", "/pets/{id}/toys", {"id": "mine"}),
        ("/pets/7/else", "/pets/{id}/{rest+}", {"id": "7", "rest": "else"}),
        ("/other/a/b", "/{proxy+}", {"proxy": "other/a/b"}),
        ("/p%65ts", "/pets", {}),
    ],
)
def test_the_most_specific_resource_wins(path: str, resource: str, parameters: Any) -> None:
    paths = ("/", "/pets", "/pets/mine", "/pets/{id}", "/pets/{id}/toys", "/pets/{id}/{rest+}", "/{proxy+}")  # fmt: skip
    router = Router([{"path": p, "resourceMethods": {"GET": {"httpMethod": "GET"}}} for p in paths])
    found = router.match("GET", path)
    assert found is not None
    assert (found.resource["path"], found.parameters) == (resource, parameters)


def test_models_refer_to_models_and_nothing_is_fetched() -> None:
    start = "https://apigateway.amazonaws.com/restapis/abc/models"
    models = {
        "Pet": {"schema": json.dumps({"type": "object", "required": ["name"], "properties": {"name": {"pattern": "^(a+)+$"}}})},
        "Pets": {"schema": json.dumps({"type": "array", "items": {"$ref": f"{start}/Pet"}})},
    }  # fmt: skip
    pets = checker(models, "Pets")
    assert pets.is_valid([{"name": "aaa"}])
    assert not pets.is_valid([{}])
    assert not pets.is_valid([{"name": "a" * 40 + "b"}])
