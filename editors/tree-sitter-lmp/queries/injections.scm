; Templates are Jinja. A docstring is not a template, so `{{ question }}` in one is text.

((setting
  key: (identifier) @_key
  value: [(string (string_content) @injection.content)
          (long_string (string_content) @injection.content)])
  (#eq? @_key "template")
  (#set! injection.language "jinja"))

((setting
  key: (identifier) @_key
  value: (object
    (pair value: [(string (string_content) @injection.content)
                  (long_string (string_content) @injection.content)])))
  (#eq? @_key "template")
  (#set! injection.language "jinja"))

((regex (string_content) @injection.content)
  (#set! injection.language "regex"))

((comment) @injection.content
  (#set! injection.language "comment"))
