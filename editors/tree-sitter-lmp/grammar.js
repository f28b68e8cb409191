/**
 * @file The .lmp language for tree-sitter. `grammars/lmp.lark` owns the syntax; this file follows it part by part.
 * @license Apache-2.0
 */

/// <reference types="tree-sitter-cli/dsl" />
// @ts-check

// From loose to tight. A comparison stands between `not` and `??` by the rules alone: it does not chain.
const PREC = { or: 1, and: 2, not: 3, coalesce: 4, sum: 5, product: 6, sign: 7 };

// Words of expressions that cannot name a value.
const RESERVED = [
  "if", "then", "else", "and", "or", "not", "in", "for", "match", "loop", "tune", "true", "false", "none",
];

module.exports = grammar({
  name: "lmp",

  // A word is a keyword only where the grammar expects that keyword. Elsewhere it may be a name.
  word: $ => $.identifier,
  reserved: { names: _ => [], values: _ => RESERVED },

  // What follows them decides what these are, so src/scanner.c reads them. They come before keywords: keys,
  // parameters and named arguments may have the name of any keyword.
  externals: $ => [
    $._key, // a name right before `:`
    $._argument_name, // a name right before `=`
    $._as_name, // `as` right before a text
    $._line_end, // the end of a line in a text that is not closed: it ends there, so that what follows is code
    $._error_sentinel, // in no rule: expected by none but the parser's own recovery
  ],

  extras: $ => [$.comment, /[ \t\r\n]+/],

  supertypes: $ => [$.declaration, $.statement, $.type, $.expression, $.pattern],

  rules: {
    source_file: $ => repeat($.declaration),

    declaration: $ =>
      choice(
        $.import_declaration,
        $.record_declaration,
        $.enum_declaration,
        $.type_declaration,
        $.constant_declaration,
        $.model_declaration,
        $.default_declaration,
        $.tool_declaration,
        $.module_declaration,
        $.pipeline_declaration,
        $.metric_declaration,
        $.example_declaration,
        $.dataset_declaration,
        $.store_declaration,
        $.optimize_declaration,
        $.test_declaration,
      ),

    // --- declarations ---

    import_declaration: $ =>
      seq("from", field("source", $._short_string), "import", $.import_item, repeat(seq(",", $.import_item))),
    import_item: $ => seq(field("name", $.identifier), optional(seq("as", field("alias", $.identifier)))),

    record_declaration: $ =>
      seq("record", field("name", $.identifier), optional($.depth), field("body", $.record_body)),
    depth: $ => seq("(", field("key", alias($._key, $.identifier)), ":", $.number, ")"),
    record_body: $ => seq("{", optional($._doc), repeat($.field), "}"),
    field: $ =>
      seq(
        field("name", alias($._key, $.identifier)),
        ":",
        field("type", $.type),
        optional(seq("=", field("default", $.expression))),
        optional(field("note", $._short_string)),
        optional($._model_name),
        optional(","),
      ),

    enum_declaration: $ => seq("enum", field("name", $.identifier), field("body", $.enum_body)),
    enum_body: $ => seq("{", optional(field("doc", $._docstring)), repeat($.variant), "}"),
    variant: $ =>
      seq(
        field("name", $.identifier),
        optional(field("note", $._short_string)),
        optional($._model_name),
        optional(","),
      ),
    _model_name: $ => seq(alias($._as_name, "as"), field("model_name", $._short_string)),

    type_declaration: $ => seq("type", field("name", $.identifier), "=", field("type", $.type)),
    constant_declaration: $ =>
      seq("let", field("name", $.identifier), optional($._annotation), "=", field("value", $.expression)),

    model_declaration: $ => seq("model", field("name", $.identifier), field("body", $.settings)),
    default_declaration: $ => seq("default", field("body", $.settings)),

    tool_declaration: $ =>
      seq(
        "tool",
        field("name", $.identifier),
        optional($._signature), // without one: a server of tools
        "from",
        field("source", $._short_string),
        optional(field("body", $.tool_body)),
      ),
    tool_body: $ => seq("{", optional(field("doc", $._docstring)), repeat($.setting), "}"),

    module_declaration: $ =>
      choice(
        seq(
          field("kind", choice("generate", "critique", "vote")),
          field("name", $.identifier),
          $._signature,
          optional(field("body", $.module_body)),
        ),
        seq(
          field("kind", choice("refine", "search", "agent", "route")),
          field("name", $.identifier),
          $._signature,
          field("body", $.module_body),
        ),
      ),
    module_body: $ => seq("{", optional($._doc), repeat($.setting), "}"),

    pipeline_declaration: $ =>
      seq("pipeline", field("name", $.identifier), $._signature, field("body", $.block)),
    metric_declaration: $ =>
      seq(
        "metric",
        field("name", $.identifier),
        $._signature,
        choice(field("body", $.block), seq("from", field("source", $._short_string))),
      ),

    example_declaration: $ =>
      seq("example", field("name", $.identifier), field("arguments", $.arguments), "->", field("result", $.expression)),
    dataset_declaration: $ =>
      seq("dataset", field("name", $.identifier), $._annotation, field("body", $.settings)),
    store_declaration: $ =>
      seq("store", field("name", $.identifier), $._annotation, field("body", $.settings)),
    optimize_declaration: $ => seq("optimize", field("name", $.identifier), field("body", $.settings)),
    test_declaration: $ => seq("test", field("name", $._short_string), field("body", $.block)),

    _signature: $ => seq(field("parameters", $.parameters), "->", field("result", $.type)),
    parameters: $ => seq("(", optional(commas($.parameter)), ")"),
    parameter: $ =>
      seq(
        optional("train"), // seen while optimizing, hidden when deployed
        field("name", alias($._key, $.identifier)),
        ":",
        field("type", $.type),
        optional(seq("=", field("default", $.expression))),
        optional(field("note", $._short_string)),
      ),
    _annotation: $ => seq(":", field("type", $.type)),

    settings: $ => seq("{", repeat($.setting), "}"),
    setting: $ =>
      seq(field("key", alias($._key, $.identifier)), ":", field("value", $.expression), optional(",")),

    _doc: $ => seq(optional("frozen"), field("doc", $._docstring)), // frozen: no optimizer rewrites it
    _docstring: $ => choice(...[$.long_string, $.string, $.raw_string].map(text => alias(text, $.docstring))),

    // --- types ---

    type: $ => choice($.union_type, $._member_type),
    union_type: $ => seq($._member_type, repeat1(seq("|", $._member_type))),
    _member_type: $ => choice($._plain_type, $.optional_type),
    optional_type: $ => seq($._plain_type, "?"),
    _plain_type: $ => choice($.named_type, $.literal_type, $.parenthesized_type),
    named_type: $ =>
      seq(
        field("name", $.identifier),
        optional(field("arguments", $.type_arguments)),
        optional(field("refinements", $.refinements)),
      ),
    type_arguments: $ => seq("[", commas($.type), "]"),
    literal_type: $ => $._short_string,
    parenthesized_type: $ => seq("(", $.type, ")"),

    refinements: $ => seq("(", commas($._refinement), ")"),
    _refinement: $ =>
      choice(
        $.range, // constants
        alias($.raw_string, $.regex),
        alias($.string, $.regex),
        "unique",
        alias($.identifier, $.labels), // the parameter that holds those of a `one_of`
      ),
    range: $ => seq(optional(field("from", $._operand)), "..", optional(field("to", $._operand))),

    // --- statements ---

    block: $ => seq("{", optional($._doc), repeat($.statement), "}"),
    statement: $ =>
      choice(
        $.let_statement,
        $.keep_statement,
        $.if_statement,
        $.return_statement,
        $.yield_statement,
        $.assert_statement,
        $.stub_statement,
      ),

    let_statement: $ =>
      seq("let", field("name", $.identifier), optional($._annotation), "=", field("value", $._value)),
    keep_statement: $ => seq("keep", field("value", $._operand), "in", field("store", $.identifier)),
    if_statement: $ =>
      seq(
        "if",
        field("condition", $.expression),
        field("consequence", $.block),
        optional(seq("else", field("alternative", choice($.block, $.if_statement)))),
      ),
    return_statement: $ => seq("return", field("value", $._value)),
    yield_statement: $ => seq("yield", field("value", $.expression)),
    assert_statement: $ =>
      seq("assert", field("condition", $.expression), optional(seq(",", field("message", $._short_string)))),
    stub_statement: $ => seq("stub", field("name", $.identifier), "->", field("result", $.expression)),

    _value: $ => choice($.expression, $.loop),
    loop: $ =>
      seq(
        "loop",
        field("state", $.identifier),
        optional($._annotation),
        "=",
        field("start", $.expression),
        "for",
        field("rounds", $.expression),
        optional(seq("until", field("until", $.expression))),
        field("body", $.block),
      ),

    // --- expressions, loosest binding first ---

    expression: $ =>
      choice($.conditional_expression, $.logical_expression, $.not_expression, $.comparison_expression, $._operand),

    conditional_expression: $ =>
      prec.right(
        seq(
          "if",
          field("condition", $.expression),
          "then",
          field("consequence", $.expression),
          "else",
          field("alternative", $.expression),
        ),
      ),
    logical_expression: $ => choice(...[["or", PREC.or], ["and", PREC.and]].map(binary($.expression))),
    not_expression: $ => prec(PREC.not, seq("not", field("operand", $.expression))),
    comparison_expression: $ =>
      seq(
        field("left", $._operand),
        field("operator", choice("==", "!=", "<=", ">=", "<", ">", "in")),
        field("right", $._operand),
      ),

    // What an operator of comparison takes. It has no `in` of its own, so `in` may follow it elsewhere.
    _operand: $ => choice($.binary_expression, $.unary_expression, $._postfix),

    binary_expression: $ =>
      choice(
        ...[
          ["??", PREC.coalesce],
          ["+", PREC.sum],
          ["-", PREC.sum],
          ["*", PREC.product],
          ["/", PREC.product],
          ["%", PREC.product],
        ].map(binary($._operand)),
      ),
    unary_expression: $ => prec(PREC.sign, seq("-", field("operand", $._operand))),

    _postfix: $ =>
      choice(
        $.attribute_expression,
        $.index_expression,
        $.slice_expression,
        $.update_expression,
        $.call_expression,
        $._atom,
      ),
    attribute_expression: $ =>
      seq(field("object", $._postfix), choice(".", "?."), field("name", $.identifier)),
    index_expression: $ => seq(field("object", $._postfix), "[", field("index", $.expression), "]"),
    slice_expression: $ =>
      seq(
        field("object", $._postfix),
        "[",
        optional(field("start", $.expression)),
        ":",
        optional(field("end", $.expression)),
        "]",
      ),
    update_expression: $ => seq(field("object", $._postfix), "with", field("changes", $.object)),
    call_expression: $ => seq(field("function", $._postfix), field("arguments", $.arguments)),
    arguments: $ => seq("(", optional(commas(choice($.expression, $.named_argument))), ")"),
    named_argument: $ =>
      seq(field("name", alias($._argument_name, $.identifier)), "=", field("value", $.expression)),

    _atom: $ =>
      choice(
        alias(reserved("values", $.identifier), $.variable),
        $.number,
        $.token_count,
        $._short_string,
        $.long_string,
        $.interpolated_string,
        $.true,
        $.false,
        $.none,
        $.parenthesized_expression,
        $.list,
        $.comprehension,
        $.samples,
        $.object,
        $.selector,
        $.tune_expression,
        $.tune_call,
        $.match_expression,
      ),
    token_count: $ => seq($.number, "tokens"),
    true: _ => "true",
    false: _ => "false",
    none: _ => "none",
    parenthesized_expression: $ => seq("(", $.expression, ")"),
    list: $ => seq("[", optional(commas($.expression)), "]"),
    comprehension: $ =>
      seq(
        "[",
        field("item", $.expression),
        "for",
        field("variable", $.identifier),
        repeat(seq(",", field("variable", $.identifier))),
        "in",
        field("source", $.expression),
        optional(seq("if", field("condition", $.expression))),
        "]",
      ),
    samples: $ => seq("[", field("item", $.expression), "for", field("count", $._operand), "]"),
    object: $ => seq("{", optional(commas($.pair)), "}"),
    pair: $ =>
      seq(field("key", choice(alias($._key, $.identifier), $._short_string)), ":", field("value", $.expression)),
    selector: $ => seq(".", field("name", $.identifier)),

    tune_expression: $ => seq("tune", "[", commas(choice($.expression, $.tune_range)), "]"),
    tune_range: $ => seq(field("from", $.expression), "..", field("to", $.expression)),
    tune_call: $ => seq("tune", field("arguments", $.arguments)),

    match_expression: $ => seq("match", field("value", $.expression), field("body", $.match_body)),
    match_body: $ => seq("{", repeat1($.arm), "}"),
    arm: $ => seq(field("pattern", $.pattern), "=>", field("value", $.expression), optional(",")),
    pattern: $ => choice($.name_pattern, $.string_pattern, $.wildcard),
    name_pattern: $ => seq($.identifier, repeat(seq("|", $.identifier))),
    string_pattern: $ => seq($._short_string, repeat(seq("|", $._short_string))),
    wildcard: _ => "_",

    // --- texts ---

    _short_string: $ => choice($.string, $.raw_string),
    string: $ =>
      seq(
        '"',
        repeat(choice($.escape_sequence, alias(token.immediate(prec(1, /[^"\\\n]+/)), $.string_content))),
        $._text_end,
      ),
    raw_string: $ =>
      seq(
        'r"',
        optional(alias(token.immediate(prec(1, /(\\[^\n]|[^"\\\n])+/)), $.string_content)),
        $._text_end,
      ),
    _text_end: $ => choice(token.immediate('"'), $._line_end),
    long_string: $ =>
      seq('"""', optional(alias($._long_content, $.string_content)), token.immediate('"""')),
    _long_content: _ => repeat1(choice(token.immediate(prec(1, /[^"]+/)), token.immediate(/"/))),

    // `f"… {value} …"`. A doubled brace is text.
    interpolated_string: $ =>
      choice(
        seq(
          'f"',
          repeat(
            choice(
              $.escape_sequence,
              $.doubled_brace,
              $.interpolation,
              alias(token.immediate(prec(1, /[^"\\\n{}]+/)), $.string_content),
            ),
          ),
          $._text_end,
        ),
        seq(
          'f"""',
          repeat(
            choice($.doubled_brace, $.interpolation, alias($._long_interpolated_content, $.string_content)),
          ),
          token.immediate('"""'),
        ),
      ),
    _long_interpolated_content: _ =>
      prec.right(repeat1(choice(token.immediate(prec(1, /[^"{}]+/)), token.immediate(/"/)))),
    interpolation: $ => seq(token.immediate("{"), field("value", $.expression), "}"),
    escape_sequence: _ => token.immediate(prec(1, /\\(u\{[0-9A-Fa-f]{1,6}\}|u[0-9A-Fa-f]{4}|[^\n])/)),
    doubled_brace: _ => token.immediate(prec(1, choice("{{", "}}"))),

    // --- words ---

    identifier: _ => /[A-Za-z][A-Za-z0-9_]*/,
    number: _ => /\d[\d_]*(\.\d[\d_]*)?([eE][+-]?\d+)?/,
    comment: _ => token(/#[^\n]*/),
  },
});

/** Items between commas, and one at the end where it is wanted. */
function commas(item) {
  return seq(item, repeat(seq(",", item)), optional(","));
}

/** A rule for an operator between two operands that binds to the left. */
function binary(operand) {
  return ([operator, level]) =>
    prec.left(level, seq(field("left", operand), field("operator", operator), field("right", operand)));
}
