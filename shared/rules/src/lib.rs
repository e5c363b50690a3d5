//! Rule expressions: parse, print, evaluate.
