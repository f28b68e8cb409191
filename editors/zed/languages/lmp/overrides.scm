[
  (string)
  (raw_string)
  (long_string)
  (interpolated_string)
  (docstring)
  (regex)
] @string

(comment) @comment.inclusive
