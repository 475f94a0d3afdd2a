//! The lexer against what could fool it.

use super::*;

fn words(source: &str) -> String {
    tokens(source).iter().map(|token| token.text).collect::<Vec<_>>().join(" ")
}

#[test]
fn comments_and_literals_hide_nothing_and_show_nothing() {
    for (source, want) in [
        ("a // unsafe\nb", "a b"),
        ("a /* x /* unsafe */ y */ b", "a b"),
        (r#"let s = "unsafe // \" {"; t"#, r#"let s = "unsafe // \" {" ; t"#),
        ("r#\"a \" unsafe\"# b", "r#\"a \" unsafe\"# b"),
        ("br\"\\\" c", "br\"\\\" c"),
        ("'a' 'b '\\'' x", "'a' ' b '\\'' x"),
        ("fn f<'a>(x: &'a str) -> u8 {}", "fn f < ' a > ( x : & ' a str ) -> u8 { }"),
        ("b'\"' unsafe", "b'\"' unsafe"),
        ("a::b => c", "a :: b => c"),
        ("\"no end", "\"no end"),
        ("/* no end", ""),
        ("é/*ü*/ß", "é ß"),
    ] {
        assert_eq!(words(source), want, "{source}");
    }
}

#[test]
fn lines_count_through_comments_and_strings() {
    let found = tokens("/*\n*/ a\n\"x\ny\" b");
    assert_eq!(found.iter().map(|token| token.line).collect::<Vec<_>>(), [2, 3, 4]);
}

#[test]
fn test_items_are_left_out() {
    for (source, want) in [
        ("a #[cfg(test)] mod tests; b", "a b"),
        ("a #[cfg(test)] mod tests { fn f() { g[0]; } } b", "a b"),
        ("a #[cfg(test)] #[allow(x)] fn f(y: [u8; 2]) { {} } b", "a b"),
        ("a #[cfg(not(test))] fn f() {} b", "a # [ cfg ( not ( test ) ) ] fn f ( ) { } b"),
        ("#[cfg(test)] use x::{y, z}; b", "b"),
    ] {
        let kept: Vec<_> = without_tests(&tokens(source)).iter().map(|token| token.text).collect();
        assert_eq!(kept.join(" "), want, "{source}");
    }
}

#[test]
fn paths_are_spelt_out() {
    for (source, want) in [
        ("std::fs::read(x)", "std::fs::read"),
        ("use std::fs;", "std::fs"),
        ("use std::{fs, io::{self, Read as _}, net::*};", "std::fs std::io std::io::Read std::net::*"),
        ("use ::std::fs as disk; x", "std::fs"),
        ("pub(crate) use a::{b::c, d}; e::f", "a::b::c a::d e::f"),
        ("use tokio;", "tokio"),
        ("x.y(z); Vec::<u8>::new()", ""),
        ("use {a::b, c};", "a::b c"),
    ] {
        let tokens = tokens(source);
        let found: Vec<_> = paths(&tokens).iter().map(|path| path.segments.join("::")).collect();
        assert_eq!(found.join(" "), want, "{source}");
    }
    let path = Path { segments: vec!["a", "std", "fs", "read"], line: 1 };
    assert!(path.has("std::fs") && path.has("fs") && !path.has("std::read") && !path.has("st"));
}
