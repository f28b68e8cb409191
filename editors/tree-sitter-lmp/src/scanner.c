// What a regular expression of the generated lexer cannot see: words that are read by what follows them (`key:`,
// `argument=` and `as "…"`), and the end of the line of a text that is not closed. The scanner keeps no state.

#include "tree_sitter/parser.h"

enum TokenType { KEY, ARGUMENT_NAME, AS_NAME, LINE_END, ERROR_SENTINEL };

static bool is_letter(int32_t c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

static bool is_word(int32_t c) { return is_letter(c) || (c >= '0' && c <= '9') || c == '_'; }

static bool is_blank(int32_t c) { return c == ' ' || c == '\t'; }

static bool at_line_end(TSLexer *lexer) { return lexer->lookahead == '\n' || lexer->eof(lexer); }

static void advance(TSLexer *lexer) { lexer->advance(lexer, false); }

// Reads a word, marks its end, and tells whether it is `as`.
static bool read_word(TSLexer *lexer) {
  static const char as[] = "as";
  int length = 0;
  bool same = true;
  for (; is_word(lexer->lookahead); length++) {
    same = same && length < 2 && lexer->lookahead == as[length];
    advance(lexer);
  }
  lexer->mark_end(lexer);
  return same && length == 2;
}

static bool found(TSLexer *lexer, enum TokenType type) {
  lexer->result_symbol = type;
  return true;
}

bool tree_sitter_lmp_external_scanner_scan(void *payload, TSLexer *lexer, const bool *valid) {
  (void)payload;
  if (valid[LINE_END] && !valid[ERROR_SENTINEL]) return at_line_end(lexer) && found(lexer, LINE_END);
  while (is_blank(lexer->lookahead) || lexer->lookahead == '\r' || lexer->lookahead == '\n') {
    lexer->advance(lexer, true);
  }
  if (!is_letter(lexer->lookahead)) return false;
  bool as = read_word(lexer);
  while (is_blank(lexer->lookahead)) advance(lexer);
  if (valid[KEY] && lexer->lookahead == ':') return found(lexer, KEY);
  if (valid[ARGUMENT_NAME] && lexer->lookahead == '=') {
    advance(lexer);
    if (lexer->lookahead != '=' && lexer->lookahead != '>') return found(lexer, ARGUMENT_NAME);
    return false;
  }
  if (valid[AS_NAME] && as) {
    if (lexer->lookahead == 'r') advance(lexer);
    if (lexer->lookahead == '"') return found(lexer, AS_NAME);
  }
  return false;
}

void *tree_sitter_lmp_external_scanner_create(void) { return NULL; }

void tree_sitter_lmp_external_scanner_destroy(void *payload) { (void)payload; }

unsigned tree_sitter_lmp_external_scanner_serialize(void *payload, char *buffer) {
  (void)payload;
  (void)buffer;
  return 0;
}

void tree_sitter_lmp_external_scanner_deserialize(void *payload, const char *buffer, unsigned length) {
  (void)payload;
  (void)buffer;
  (void)length;
}
