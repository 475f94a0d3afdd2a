//! Tables of addresses.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{may_dial, special_purpose};

const SPECIAL: &str = "\
    0.0.0.0 0.255.255.255 10.0.0.0 10.255.255.255 100.64.0.0 100.127.255.255 127.0.0.1 127.255.255.255 \
    169.254.0.0 169.254.169.254 169.254.255.255 172.16.0.0 172.31.255.255 192.0.0.0 192.0.0.192 \
    192.0.0.255 192.0.2.1 192.31.196.1 192.52.193.1 192.88.99.1 192.168.0.0 192.168.255.255 192.175.48.1 \
    198.18.0.0 198.19.255.255 198.51.100.1 203.0.113.1 224.0.0.1 239.255.255.255 240.0.0.1 \
    255.255.255.255 168.63.129.16 :: ::1 ::ffff:127.0.0.1 ::ffff:169.254.169.254 ::ffff:10.0.0.1 \
    ::127.0.0.1 ::8.8.8.8 64:ff9b::7f00:1 64:ff9b::a9fe:a9fe 64:ff9b:1::808:808 100::1 100:0:0:1::1 \
    2001::1 2001:2::1 2001:10::1 2001:20::1 2001:1ff::1 2001:db8::1 2002:7f00:1:: 2002:808:808::1 \
    2620:4f:8000::1 3fff::1 3fff:fff::1 5f00::1 fc00::1 fd00:ec2::254 fdff::1 fe80::1 febf::1 fec0::1 \
    ff02::1 4000::1 e000::1";

const ORDINARY: &str = "\
    1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0 \
    169.253.255.255 169.255.0.0 172.15.255.255 172.32.0.0 192.0.1.0 192.0.3.0 192.167.255.255 \
    192.169.0.0 198.17.255.255 198.20.0.0 223.255.255.255 168.63.129.17 ::ffff:8.8.8.8 64:ff9b::808:808 \
    2001:200::1 2001:4860:4860::8888 2003::1 2620:4f:8001::1 2600::1 3ffe::1 3fff:1000::1";

#[test]
fn a11_special_purpose_addresses_are_known() {
    for text in SPECIAL.split_whitespace() {
        let ip: IpAddr = text.parse().unwrap();
        assert!(special_purpose(ip).is_some(), "{text} must be special");
        assert_eq!(may_dial(ip, &[]).map_err(|e| e.address), Err(ip), "{text}");
    }
    for text in ORDINARY.split_whitespace() {
        let ip: IpAddr = text.parse().unwrap();
        assert_eq!(special_purpose(ip), None, "{text}");
        assert_eq!(may_dial(ip, &[]), Ok(()), "{text}");
    }
}

#[test]
fn a11_ranges_open_what_they_name_and_no_more() {
    let check = |ip: &str, nets: &[&str], open: bool| {
        let nets: Vec<IpNet> = nets.iter().map(|net| net.parse().unwrap()).collect();
        let (one, two) = nets.split_at(nets.len() / 2);
        assert_eq!(may_dial(ip.parse().unwrap(), &[one, two]).is_ok(), open, "{ip} with {nets:?}");
    };
    check("127.0.0.1", &["127.0.0.1/32"], true);
    check("127.0.0.2", &["127.0.0.1/32"], false);
    check("10.1.2.3", &["10.1.0.0/16"], true);
    check("10.1.2.3", &["192.168.0.0/16", "10.0.0.0/8"], true);
    check("10.2.2.3", &["10.1.0.0/16"], false);
    check("::ffff:10.1.2.3", &["10.1.0.0/16"], true);
    check("::1", &["::1/128"], true);
    check("fd00::1", &["fc00::/7"], true);
    // Wrapped: the wrapping and what it holds must both be open.
    check("2002:7f00:1::", &["2002::/16"], false);
    check("2002:7f00:1::", &["127.0.0.0/8"], false);
    check("2002:7f00:1::", &["2002::/16", "127.0.0.0/8"], true);
    check("64:ff9b::7f00:1", &["127.0.0.0/8"], true);
    check("64:ff9b::7f00:1", &["64:ff9b::/96"], false);
    check("64:ff9b:1::7f00:1", &["64:ff9b:1::/48"], false);
    check("::127.0.0.1", &["::/96"], false);
    // Teredo with the client 127.0.0.1 (inverted) behind the server 8.8.8.8, and the reverse.
    check("2001:0:808:808::80ff:fffe", &["2001::/32"], false);
    check("2001:0:7f00:1::f7f7:f7f7", &["2001::/32"], false);
    check("2001:0:808:808::f7f7:f7f7", &["2001::/32"], true);
    // Metadata opens only by name.
    for wide in ["0.0.0.0/0", "169.0.0.0/8", "168.0.0.0/5"] {
        check("169.254.169.254", &[wide], false);
        check("::ffff:169.254.169.254", &[wide], false);
    }
    check("169.254.169.254", &["169.254.0.0/16"], true);
    check("169.254.169.254", &["169.254.169.254/32"], true);
    check("169.254.1.1", &["169.254.169.254/32"], false);
    check("fe80::1", &["::/0"], false);
    check("fe80::1", &["fe80::/10"], true);
    check("fd00:ec2::254", &["fc00::/7"], false);
    check("fd00:ec2::254", &["fd00:ec2::254/128"], true);
    check("100.100.100.200", &["100.64.0.0/10"], false);
    check("168.63.129.16", &["168.63.129.16/32"], true);
    check("168.63.129.16", &["168.63.129.0/24"], false);
    check("192.0.0.192", &["192.0.0.0/24"], false);
    check("192.0.0.193", &["192.0.0.0/24"], true);
    check("fd20:ce::254", &["fd00::/8"], false);
}
