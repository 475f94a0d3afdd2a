//! Against `httparse`, which most servers in Rust read heads with: it never refuses what was shown, and reads the same
//! head.

use proptest::prelude::*;

use super::*;

/// One head that the gate may or may not like.
fn head() -> impl Strategy<Value = Vec<u8>> {
    let target = proptest::sample::select(vec!["/", "/a/b?c=d", "*", "http://a/", "a", "/\u{e9}", "/%2f^{}|", "//?/"]);
    let name = proptest::sample::select(vec!["a", "X-Y", "a_b", "!#$%&'*+-.^_`|~", "b ", "(", "accept", "\u{e9}"]);
    let value = prop_oneof![
        proptest::sample::select(vec!["", " b", "\tb\t", " \"q\" ", " \u{e9}\u{fc}", "a:b:c", "\x01", "\x7f", "  "])
            .prop_map(|v| v.as_bytes().to_vec()),
        proptest::collection::vec(any::<u8>().prop_filter("ends no line", |b| !matches!(b, b'\r' | b'\n')), 0..40),
    ];
    let end = proptest::sample::select(vec!["\r\n", "\r\n", "\r\n", "\r\n", "\r\n", "\n", "\r\n "]);
    let line = (name, value, end).prop_map(|(n, v, e)| [n.as_bytes(), b":", v.as_slice(), e.as_bytes()].concat());
    let version = proptest::sample::select(vec!["HTTP/1.1", "HTTP/1.0", "HTTP/1.1", "HTTP/1.2"]);
    let method = proptest::sample::select(vec!["GET", "POST", "M-SEARCH", "get", "G@T"]);
    (method, target, version, proptest::collection::vec(line, 0..6)).prop_map(|(m, t, v, lines)| {
        let start = format!("{m} {t} {v}\r\nHost: a\r\n");
        [start.as_bytes(), lines.concat().as_slice(), b"\r\n"].concat()
    })
}

type Parsed = (String, String, u8, Vec<(String, Vec<u8>)>);

fn httparse_request(bytes: &[u8]) -> Result<Option<(usize, Parsed)>, httparse::Error> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut request = httparse::Request::new(&mut headers);
    Ok(match request.parse(bytes)? {
        httparse::Status::Partial => None,
        httparse::Status::Complete(len) => {
            let fields = request.headers.iter().map(|h| (h.name.to_owned(), h.value.to_vec())).collect();
            let (method, path) = (request.method.unwrap().to_owned(), request.path.unwrap().to_owned());
            Some((len, (method, path, request.version.unwrap(), fields)))
        }
    })
}

/// What a strict reader makes of a head that ends with its empty line: split at CRLF, space and colon.
fn plain(head: &[u8]) -> Parsed {
    let text: String = head.iter().map(|&b| char::from(b)).collect();
    let mut lines = text.strip_suffix("\r\n\r\n").unwrap().split("\r\n");
    let mut start = lines.next().unwrap().split(' ');
    let (method, target) = (start.next().unwrap().to_owned(), start.next().unwrap().to_owned());
    let version = u8::from(start.next() == Some("HTTP/1.1"));
    let fields = lines.map(|line| {
        let (name, value) = line.split_once(':').unwrap();
        let value = value.trim_matches([' ', '\t']).chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
        (name.to_owned(), value)
    });
    (method, target, version, fields.collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_shown_httparse_reads_as_we_do(input in head()) {
        let limits = Limits::default();
        let outcome = requests(&input, limits, &[usize::MAX]);
        if outcome.violation.is_none() && outcome.heads == 1 && outcome.idle {
            let (len, parsed) = httparse_request(&input).unwrap().unwrap();
            prop_assert_eq!(len, input.len());
            prop_assert!(http::Uri::try_from(parsed.1.as_str()).is_ok());
            prop_assert_eq!(parsed, plain(&input));
        }
        // Cut in two: a reader may see the first part before the gate has found a fault in the second, and must not
        // answer by itself.
        let (_, shown, _) = drive(Inspector::requests(limits), &input, &[], &[1]);
        for end in 0..shown {
            prop_assert!(httparse_request(&input[..end]).is_ok(), "{end}");
        }
    }

    #[test]
    fn methods_and_targets_that_are_shown_are_ones_for_http(
        method in proptest::collection::vec(any::<u8>(), 1..20),
        target in prop_oneof![
            "[!-~]{1,30}", "/[!-~]{0,30}", "/[a-z]{0,9}\\?[!-~]{0,20}", "http://[!-~]{0,30}", "[a-z]{0,5}://[!-~]{0,9}/[!-~]{0,9}"
        ],
        connect in any::<bool>(),
    ) {
        let method = if connect { b"CONNECT".to_vec() } else { method };
        let head = [method.as_slice(), b" ", target.as_bytes(), b" HTTP/1.1\r\nHost: a\r\n\r\n"].concat();
        if requests(&head, Limits::default(), &[usize::MAX]).violation.is_none() {
            prop_assert!(http::Method::from_bytes(&method).is_ok());
            let uri = http::Uri::try_from(target.as_str()).unwrap();
            prop_assert_eq!(uri.authority().is_some(), connect || uri.scheme().is_some(), "{}", target);
            if uri.scheme().is_none() && !connect {
                prop_assert_eq!(uri.path_and_query().unwrap().as_str(), target);
            }
        }
    }
}
