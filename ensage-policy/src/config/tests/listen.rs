use super::*;

#[test]
fn a_listener_may_be_a_unix_socket() {
    let read = policy(
        "[gateway]\nlisten = [\"unix:/run/e.sock\", \"unix:~/e.sock\", \"127.0.0.1:0\"]\n[enclave.e]\nlisten = \"unix:run/e.sock\"",
    );
    let spelt: Vec<String> =
        read.gateway.listen.iter().chain(&read.enclaves[0].listen).map(ToString::to_string).collect();
    assert_eq!(spelt, ["unix:/run/e.sock", "unix:/home/ann/e.sock", "127.0.0.1:0", "unix:/work/chip/run/e.sock"]);
    // So long a path is an address yet, one byte more is none.
    let listen = |bytes: usize| format!("[gateway]\nlisten = \"unix:/{}\"", "s".repeat(bytes - 1));
    policy(&listen(107));
    let errors = loaded(&listen(108)).errors;
    assert_eq!((errors.len(), errors[0].code, errors[0].column), (1, "out_of_range", 10));
}
