//! TLS as peers can get it wrong: certificates, names, silence, sudden ends.

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use test_pki::{Authority, Issued, Validity};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use transport::tls::{self, Files, Identity, Names, Reason};
use transport::{Association, ConnectError, Event, Listener, LossReason, MsgOut, PeerAddress, Ppid, tcp};

const PATIENCE: Duration = Duration::from_secs(60);
const HERE: &str = "127.0.0.1";

fn identity(Issued { certificate, key, ca }: Issued) -> Identity {
    Identity::read(Files { certificate, key, ca }).unwrap()
}

fn names(names: &[&str]) -> Names {
    Names::parse(names).unwrap()
}

/// A TLS server at a free port.
struct Server {
    listener: Listener,
    address: SocketAddr,
    identity: Identity,
}

impl Server {
    async fn start(identity: Identity, expected: &[&str]) -> Server {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let options = tcp::Options::default();
        let listener = tls::listen(address, options, &identity, &names(expected)).await.unwrap();
        let PeerAddress::Tls(address) = listener.local() else { panic!("not TLS") };
        Server { listener, address, identity }
    }

    async fn connect(&self, client: &Identity, expected: &[&str]) -> Result<Association, ConnectError> {
        tls::connect(self.address, tcp::Options::default(), client, &names(expected)).await
    }

    async fn accept(&mut self) -> Association {
        tokio::time::timeout(PATIENCE, self.listener.accept()).await.expect("a client").unwrap()
    }

    /// Waits until so many handshakes failed for `reason`.
    async fn refuses(&self, reason: Reason, count: u64) {
        let counted = async {
            while self.identity.handshakes().failed(reason) < count {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let counted = tokio::time::timeout(PATIENCE, counted).await;
        assert!(counted.is_ok(), "{reason:?}: {:?}", self.identity.handshakes());
    }
}

async fn end(association: &mut Association) -> LossReason {
    loop {
        let event = tokio::time::timeout(PATIENCE, association.recv()).await.expect("an end");
        if let Event::Lost(reason) = event {
            return reason;
        }
    }
}

async fn works(client: &Association, server: &mut Association) {
    let data = vec![0, 10, 0, 16, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
    client.send(MsgOut::new(Ppid::IPFIX, data.clone())).await.unwrap();
    let event = tokio::time::timeout(PATIENCE, server.recv()).await.expect("a message");
    assert!(matches!(&event, Event::Message(message) if message.data[..] == data), "{event:?}");
}

#[tokio::test]
async fn a_peer_is_known_by_any_of_the_names_expected_of_it() {
    let authority = Authority::new();
    let both = identity(authority.issue("both", &["node.example"], Validity::Current));
    let mut server = Server::start(both.clone(), &["other.example", "node.example"]).await;
    let client = server.connect(&both, &["another.example", "node.example"]).await.unwrap();
    let mut accepted = server.accept().await;
    works(&client, &mut accepted).await;
    assert_eq!(both.handshakes().completed, 2, "both roles");
    assert_eq!(accepted.peer_names(), ["node.example"]);
    assert_eq!(client.peer_names(), ["node.example"]);
}

#[tokio::test]
async fn a_client_refuses_a_server_with_a_certificate_for_another_name() {
    let authority = Authority::new();
    let both = identity(authority.issue("both", &["node.example", HERE], Validity::Current));
    let server = Server::start(both.clone(), &[]).await;
    let error = server.connect(&both, &["other.example"]).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains(&server.address.to_string()) && text.contains("other.example"), "{text}");
    let ConnectError::Tls(_, refused) = error else { panic!("{error:?}") };
    assert_eq!(refused.reason, Reason::WrongName);
    server.refuses(Reason::ByPeer, 1).await;
}

#[tokio::test]
async fn a_client_refuses_a_server_that_is_expired_or_of_an_unknown_authority() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let client = identity(ours.issue("client", &[HERE], Validity::Current));
    for (issued, reason) in [
        (ours.issue("server", &[HERE], Validity::Past), Reason::Expired),
        (theirs.issue("server", &[HERE], Validity::Current), Reason::UnknownIssuer),
    ] {
        let server = Server::start(identity(issued), &[]).await;
        let error = server.connect(&client, &[]).await.unwrap_err();
        let ConnectError::Tls(_, refused) = error else { panic!("{error:?}") };
        assert_eq!(refused.reason, reason, "{refused}");
        assert_eq!(client.handshakes().failed(reason), 1);
    }
}

#[tokio::test]
async fn a_server_gives_no_service_to_a_client_it_refuses() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let mut server =
        Server::start(identity(ours.issue("server", &[HERE], Validity::Current)), &["client.example"]).await;
    let cases = [
        (ours.issue("expired", &["client.example"], Validity::Past), Reason::Expired),
        (ours.issue("named", &["other.example"], Validity::Current), Reason::WrongName),
        (theirs.issue("unknown", &["client.example"], Validity::Current), Reason::UnknownIssuer),
    ];
    for (mut issued, reason) in cases {
        issued.ca = ours.directory().join("ca.pem");
        // The client is done before the server has seen its certificate; it hears of the refusal next.
        match server.connect(&identity(issued), &[]).await {
            Ok(mut client) => {
                let lost = end(&mut client).await;
                let refused = matches!(&lost, LossReason::PeerAborted(alert) if alert.contains("alert"));
                assert!(refused, "{reason:?}: {lost:?}");
            }
            Err(ConnectError::Tls(_, refused)) => assert_eq!(refused.reason, Reason::ByPeer),
            Err(error) => panic!("{error}"),
        }
        server.refuses(reason, 1).await;
    }
    let good = identity(ours.issue("good", &["client.example"], Validity::Current));
    let client = server.connect(&good, &[]).await.unwrap();
    // The first that is accepted is the good one.
    works(&client, &mut server.accept().await).await;
    assert_eq!(server.identity.handshakes().completed, 1);
}

/// A client of TLS that is not ours.
struct Foreign {
    socket: std::net::TcpStream,
    tls: rustls::ClientConnection,
}

impl Foreign {
    /// Completes a handshake as far as a client can.
    fn connect(server: SocketAddr, ca: &Issued, own: Option<&Issued>) -> Foreign {
        Foreign::connect_with(server, Arc::new(Foreign::config(ca, own)))
    }

    fn config(ca: &Issued, own: Option<&Issued>) -> rustls::ClientConfig {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(&ca.ca).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        match own {
            Some(own) => config
                .with_client_auth_cert(
                    vec![CertificateDer::from_pem_file(&own.certificate).unwrap()],
                    rustls::pki_types::PrivateKeyDer::from_pem_file(&own.key).unwrap(),
                )
                .unwrap(),
            None => config.with_no_client_auth(),
        }
    }

    fn connect_with(server: SocketAddr, config: Arc<rustls::ClientConfig>) -> Foreign {
        let mut socket = std::net::TcpStream::connect(server).unwrap();
        let mut tls = rustls::ClientConnection::new(config, server.ip().into()).unwrap();
        while tls.is_handshaking() {
            tls.complete_io(&mut socket).unwrap();
        }
        Foreign { socket, tls }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_comes_again_can_neither_resume_nor_send_early_data() {
    let authority = Authority::new();
    let issued = authority.issue("both", &[HERE], Validity::Current);
    let mut server = Server::start(identity(issued.clone()), &[]).await;
    let mut config = Foreign::config(&issued, Some(&issued));
    config.enable_early_data = true;
    let (config, address) = (Arc::new(config), server.address);
    for _ in 0..3 {
        let config = Arc::clone(&config);
        let foreign = tokio::task::spawn_blocking(move || {
            let mut early = rustls::ClientConnection::new(Arc::clone(&config), address.ip().into()).unwrap();
            assert!(early.early_data().is_none(), "the server has given a ticket for early data");
            Foreign::connect_with(address, config)
        });
        let association = server.accept().await;
        let mut foreign = foreign.await.unwrap();
        assert_eq!(foreign.tls.handshake_kind(), Some(rustls::HandshakeKind::Full));
        assert!(!foreign.tls.is_early_data_accepted());
        // A ticket would come with the first message.
        association
            .send(MsgOut::new(Ppid::IPFIX, vec![0, 10, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]))
            .await
            .unwrap();
        let received = tokio::task::spawn_blocking(move || {
            while foreign.tls.process_new_packets().unwrap().plaintext_bytes_to_read() == 0 {
                foreign.tls.read_tls(&mut foreign.socket).unwrap();
            }
            foreign
        });
        tokio::time::timeout(PATIENCE, received).await.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_without_a_certificate_gets_no_service() {
    let authority = Authority::new();
    let issued = authority.issue("server", &[HERE], Validity::Current);
    let server = Server::start(identity(issued.clone()), &[]).await;
    let address = server.address;
    let foreign = tokio::task::spawn_blocking(move || Foreign::connect(address, &issued, None));
    let Foreign { mut socket, mut tls } = foreign.await.unwrap();
    server.refuses(Reason::NoCertificate, 1).await;
    let error = tokio::task::spawn_blocking(move || {
        loop {
            if let Err(error) = tls.complete_io(&mut socket) {
                return error;
            }
        }
    });
    let error = tokio::time::timeout(PATIENCE, error).await.unwrap().unwrap();
    assert!(error.to_string().contains("CertificateRequired"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_without_close_notify_is_a_loss_and_one_with_it_is_orderly() {
    let authority = Authority::new();
    let issued = authority.issue("both", &[HERE], Validity::Current);
    let mut server = Server::start(identity(issued.clone()), &[]).await;
    for orderly in [false, true] {
        let (address, issued) = (server.address, issued.clone());
        let foreign = tokio::task::spawn_blocking(move || {
            let mut foreign = Foreign::connect(address, &issued, Some(&issued));
            let message = [0, 10, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
            foreign.tls.writer().write_all(&message).unwrap();
            if orderly {
                foreign.tls.send_close_notify();
            }
            while foreign.tls.wants_write() {
                foreign.tls.write_tls(&mut foreign.socket).unwrap();
            }
            foreign.socket.shutdown(std::net::Shutdown::Write).unwrap();
            foreign
        });
        let mut association = server.accept().await;
        let _foreign = foreign.await.unwrap();
        let event = tokio::time::timeout(PATIENCE, association.recv()).await.unwrap();
        assert!(matches!(event, Event::Message(_)), "what came before the end is there: {event:?}");
        let reason = end(&mut association).await;
        if orderly {
            assert_eq!(reason, LossReason::PeerClosed);
        } else {
            assert!(
                matches!(&reason, LossReason::Protocol(text) if text.contains("truncated")),
                "{reason:?}"
            );
        }
    }
}

#[tokio::test]
async fn plain_tcp_gets_no_service() {
    let authority = Authority::new();
    let server = Server::start(identity(authority.issue("s", &[HERE], Validity::Current)), &[]).await;
    let plain = tcp::connect(server.address, tcp::Options::default()).await.unwrap();
    let mut message = vec![0; 1_000];
    message[..4].copy_from_slice(&[0, 10, 3, 232]);
    plain.send(MsgOut::new(Ppid::IPFIX, message)).await.unwrap();
    server.refuses(Reason::Protocol, 1).await;
}

#[tokio::test]
async fn clients_that_say_nothing_keep_nobody_waiting_and_are_cut_off() {
    let authority = Authority::new();
    let both = identity(authority.issue("both", &[HERE], Validity::Current));
    let mut server = Server::start(both.clone(), &[]).await;
    let mut silent = Vec::new();
    for _ in 0..300 {
        silent.push(TcpStream::connect(server.address).await.unwrap());
    }
    let client = server.connect(&both, &[]).await.unwrap();
    works(&client, &mut server.accept().await).await;
    // The oldest made room, the others' time passes.
    server.refuses(Reason::TooMany, 45).await;
    server.refuses(Reason::TimedOut, 255).await;
    for mut stream in silent {
        assert_eq!(stream.read(&mut [0]).await.unwrap_or(0), 0);
    }
}

#[tokio::test]
async fn a_reload_serves_new_connections_and_leaves_old_ones() {
    let authority = Authority::new();
    let issue = |name: &str| authority.issue("server", &[name], Validity::Current);
    let mut server = Server::start(identity(issue("old.example")), &[]).await;
    let client = identity(authority.issue("client", &[HERE], Validity::Current));
    let old = server.connect(&client, &["old.example"]).await.unwrap();
    let mut old_accepted = server.accept().await;

    issue("new.example");
    assert!(server.connect(&client, &["new.example"]).await.is_err(), "nothing is read before the reload");
    server.identity.reload().unwrap();
    let new = server.connect(&client, &["new.example"]).await.unwrap();
    works(&new, &mut server.accept().await).await;
    works(&old, &mut old_accepted).await;
}

#[tokio::test]
async fn a_reload_that_fails_says_which_file_and_changes_nothing() {
    let authority = Authority::new();
    let issued = authority.issue("server", &["old.example"], Validity::Current);
    let other = authority.issue("other", &["new.example"], Validity::Current);
    let mut server = Server::start(identity(issued.clone()), &[]).await;
    std::fs::copy(&other.certificate, &issued.certificate).unwrap();
    let error = server.identity.reload().unwrap_err().to_string();
    assert!(error.contains("server.key") && error.contains("not the key"), "{error}");
    std::fs::write(&issued.certificate, "nonsense").unwrap();
    let error = server.identity.reload().unwrap_err().to_string();
    assert!(error.contains("server.pem") && error.contains("no certificate"), "{error}");
    std::fs::remove_file(&issued.ca).unwrap();
    std::fs::remove_file(&issued.certificate).unwrap();
    assert!(server.identity.reload().unwrap_err().to_string().contains("server.pem"));

    let authority_again = std::fs::write(&issued.ca, authority.pem());
    authority_again.unwrap();
    let client = identity(authority.issue("client", &[HERE], Validity::Current));
    let client = server.connect(&client, &["old.example"]).await.unwrap();
    works(&client, &mut server.accept().await).await;
}
