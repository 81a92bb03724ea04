//! What a game's own server is told of its tickets: requests to one address, signed, and sent
//! again until they are taken.
//!
//! Headers and signature are those of Standard Webhooks
//! (<https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>):
//! `webhook-signature` is `v1,` and the base64 form of HMAC-SHA256 over `id.timestamp.body`. A
//! receiver may get a message twice, and messages in another order; their ids tell them apart.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use base::{NotificationId, Rng, Secret};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use tokio::sync::{Mutex, mpsc};
use tokio::time::{sleep, timeout};

use crate::clock::{Clock, Throttle};
use crate::fetch::Fetcher;
use crate::limits::{
    BACKOFF_MIN_MS, DELIVERIES_MAX, DELIVERY_RETRIES_MAX, EXPORT_MAX, RETRY_AFTER_MAX,
    WARNING_PAUSE,
};
use crate::settings::Webhook;
use crate::url::Url;

/// Bytes of a secret, as the specification has them.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// Where messages go, and the key that signs them.
pub(crate) struct Target {
    url: Url,
    key: hmac::Key,
}

impl Target {
    /// Or what makes no sense in the settings, in sentences that show none of their texts.
    pub(crate) fn read(webhook: &Webhook) -> Result<Target, Vec<String>> {
        let mut problems = Vec::new();
        let url = Url::parse_any_host(&webhook.url);
        if url.is_none() {
            problems.push("matchmaker.webhook_url is not an http or https address".to_owned());
        }
        let Secret(secret) = &webhook.secret;
        let bytes = STANDARD.decode(secret.trim_start_matches("whsec_")).unwrap_or_default();
        if !SECRET_BYTES.contains(&bytes.len()) {
            problems.push(
                "matchmaker.webhook_secret is not the base64 form of 24 to 64 bytes".to_owned(),
            );
        }
        match url {
            Some(url) if problems.is_empty() => {
                Ok(Target { url, key: hmac::Key::new(hmac::HMAC_SHA256, &bytes) })
            }
            _ => Err(problems),
        }
    }
}

/// The way in, for any thread.
#[derive(Clone)]
pub(crate) struct Outbox {
    messages: mpsc::UnboundedSender<Message>,
    account: Arc<Account>,
}

/// Invariant: at most [`DELIVERIES_MAX`] messages are under way, so that the queue is bounded.
#[derive(Default)]
struct Account {
    under_way: AtomicUsize,
    delivered: AtomicU64,
    failed: AtomicU64,
}

/// What became of messages to the webhook.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WebhookFigures {
    pub delivered: u64,
    /// Not taken after all retries, or never sent since too many waited.
    pub failed: u64,
}

struct Message {
    body: Bytes,
    /// Without one, it is drawn.
    id: Option<String>,
    told: Option<Told>,
}

impl Message {
    fn end(self, is_taken: bool) {
        if let Some(told) = self.told {
            told(is_taken);
        }
    }
}

/// Is told whether a message was taken.
pub(crate) type Told = Box<dyn FnOnce(bool) + Send>;

/// The other end. Lives on the thread of the sidecar.
pub(crate) struct Postman {
    messages: mpsc::UnboundedReceiver<Message>,
    sender: Arc<Sender>,
}

struct Sender {
    target: Target,
    fetcher: Fetcher,
    clock: Clock,
    rng: Mutex<(Rng, Throttle)>,
    account: Arc<Account>,
}

/// Both ends of a queue. Fails if the system gives no randomness.
pub(crate) fn queue(target: Target, fetcher: Fetcher) -> std::io::Result<(Outbox, Postman)> {
    let mut seed = [0; 32];
    let filled = SystemRandom::new().fill(&mut seed);
    filled.map_err(|_| std::io::Error::other("the system gives no randomness"))?;
    let (sender, messages) = mpsc::unbounded_channel();
    let account = Arc::<Account>::default();
    let outbox = Outbox { messages: sender, account: account.clone() };
    let rng = Mutex::new((Rng::from_seed(seed), Throttle::default()));
    let sender = Sender { target, fetcher, clock: Clock::start(), rng, account };
    Ok((outbox, Postman { messages, sender: Arc::new(sender) }))
}

impl Outbox {
    pub(crate) fn post(&self, body: String) {
        self.push(Message { body: body.into(), id: None, told: None });
    }

    /// A message that may come again, and of which somebody wants to know whether it was taken.
    pub(crate) fn post_named(&self, id: String, body: String, told: Told) {
        self.push(Message { body: body.into(), id: Some(id), told: Some(told) });
    }

    fn push(&self, message: Message) {
        let Account { under_way, failed, .. } = &*self.account;
        let room = |n: usize| (n < DELIVERIES_MAX).then_some(n + 1);
        if under_way.fetch_update(Relaxed, Relaxed, room).is_err() {
            failed.fetch_add(1, Relaxed);
            message.end(false);
        } else if let Err(unsent) = self.messages.send(message) {
            failed.fetch_add(1, Relaxed);
            under_way.fetch_sub(1, Relaxed);
            unsent.0.end(false);
        }
    }

    pub(crate) fn figures(&self) -> WebhookFigures {
        let Account { delivered, failed, .. } = &*self.account;
        WebhookFigures { delivered: delivered.load(Relaxed), failed: failed.load(Relaxed) }
    }
}

impl Postman {
    /// Sends every message on its own: one that is tried again hinders no other.
    pub(crate) async fn run(mut self) {
        while let Some(message) = self.messages.recv().await {
            tokio::spawn(deliver(self.sender.clone(), message));
        }
    }
}

async fn deliver(sender: Arc<Sender>, message: Message) {
    let body = message.body.clone();
    let id = match &message.id {
        Some(id) => id.clone(),
        None => NotificationId::random(&mut sender.rng.lock().await.0).to_string(),
    };
    let mut is_delivered = false;
    for retry in 0..=DELIVERY_RETRIES_MAX {
        let headers = sender.headers(&id, &body);
        let Sender { target, fetcher, .. } = &*sender;
        let answer = timeout(EXPORT_MAX, fetcher.post(&target.url, &headers, body.clone())).await;
        let answer = answer.ok().and_then(Result::ok);
        is_delivered = answer.as_ref().is_some_and(|answer| (200..300).contains(&answer.status));
        // The specification's way to say: never again.
        if is_delivered || answer.as_ref().is_some_and(|answer| answer.status == 410) {
            break;
        }
        if retry < DELIVERY_RETRIES_MAX {
            let wished = answer.and_then(|answer| answer.retry_after);
            let half = (BACKOFF_MIN_MS << retry) / 2;
            let more = sender.rng.lock().await.0.below(half + 1);
            let pause = Duration::from_millis((half + more).into());
            sleep(wished.map_or(pause, |after| after.min(RETRY_AFTER_MAX))).await;
        }
    }
    let Account { under_way, delivered, failed } = &*sender.account;
    under_way.fetch_sub(1, Relaxed);
    message.end(is_delivered);
    if is_delivered {
        delivered.fetch_add(1, Relaxed);
        return;
    }
    let failed = failed.fetch_add(1, Relaxed) + 1;
    let now = sender.clock.now().monotonic;
    if sender.rng.lock().await.1.admit(now, WARNING_PAUSE) {
        let host = sender.target.url.host();
        tracing::warn!(host, failed, "the webhook of the matchmaker does not take messages");
    }
}

impl Sender {
    fn headers(&self, id: &str, body: &[u8]) -> HeaderMap {
        let timestamp = self.clock.now().wall.secs().to_string();
        let signed = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body].concat();
        let signature = STANDARD.encode(hmac::sign(&self.target.key, &signed));
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let named = [
            ("webhook-id", id.to_owned()),
            ("webhook-timestamp", timestamp),
            ("webhook-signature", format!("v1,{signature}")),
        ];
        for (name, value) in named {
            let value = HeaderValue::from_str(&value).expect("letters and digits");
            headers.insert(HeaderName::from_static(name), value);
        }
        headers
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Sidecar;
    use crate::tests::server::{Reply, Server};
    use crate::tests::settings;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    fn sidecar(server: &Server) -> Sidecar {
        let webhook = Webhook { url: server.url("/hook"), secret: Secret(SECRET.into()) };
        let settings = crate::Settings { webhook: Some(webhook), ..settings(server) };
        Sidecar::start(settings).unwrap()
    }

    /// The example of the specification's libraries.
    #[test]
    fn the_signature_is_that_of_the_specification() {
        let webhook = Webhook { url: "http://127.0.0.1/".into(), secret: Secret(SECRET.into()) };
        let Ok(target) = Target::read(&webhook) else { panic!("good settings") };
        let signed = b"msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330.{\"test\": 2432232314}";
        let signature = STANDARD.encode(hmac::sign(&target.key, signed));
        assert_eq!(signature, "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_message_arrives_signed_and_is_sent_again_until_it_is_taken() {
        let server = Server::start();
        server.set_all("/hook", [Reply::busy(0), Reply::ok("")]);
        let sidecar = sidecar(&server);
        sidecar.handle().deliver("{\"ticket\":\"t\"}".into());
        server.wait();
        server.wait();
        let requests = server.requests("/hook");
        let header = |n: usize, name: &str| requests[n].header(name).unwrap().to_owned();
        assert_eq!(header(0, "webhook-id"), header(1, "webhook-id"));
        assert_eq!(requests[1].body, "{\"ticket\":\"t\"}");
        let signed = format!(
            "{}.{}.{}",
            header(1, "webhook-id"),
            header(1, "webhook-timestamp"),
            requests[1].body
        );
        let key = STANDARD.decode(SECRET.trim_start_matches("whsec_")).unwrap();
        let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
        let expected = format!("v1,{}", STANDARD.encode(hmac::sign(&key, signed.as_bytes())));
        assert_eq!(header(1, "webhook-signature"), expected);
    }

    #[test]
    fn a_named_message_keeps_its_id_and_its_sender_hears_whether_it_was_taken() {
        let server = Server::start();
        server.set_all("/hook", [Reply::ok("")]);
        let sidecar = sidecar(&server);
        let (told, heard) = std::sync::mpsc::channel();
        let told = move |is_taken| told.send(is_taken).unwrap();
        sidecar.handle().deliver_named("0a1b".into(), "{}".into(), told);
        server.wait();
        assert!(heard.recv().unwrap());
        assert_eq!(server.requests("/hook")[0].header("webhook-id"), Some("0a1b"));
    }

    #[test]
    fn what_makes_no_sense_is_named_and_not_shown() {
        let check = |url: &str, secret: &str, expected: &[&str]| {
            let webhook = Webhook { url: url.into(), secret: Secret(secret.into()) };
            assert_eq!(Target::read(&webhook).err().unwrap(), expected);
        };
        let url = "matchmaker.webhook_url is not an http or https address";
        let secret = "matchmaker.webhook_secret is not the base64 form of 24 to 64 bytes";
        check("ftp://host/", SECRET, &[url]);
        check("https://host/", "whsec_c2hvcnQ=", &[secret]);
        check("", "canary", &[url, secret]);
    }

    #[test]
    fn too_many_messages_fail_at_once() {
        let webhook = Webhook { url: "http://127.0.0.1/".into(), secret: Secret(SECRET.into()) };
        let Ok(target) = Target::read(&webhook) else { panic!("good settings") };
        let (outbox, _postman) = queue(target, Fetcher::new()).unwrap();
        for _ in 0..DELIVERIES_MAX + 3 {
            outbox.post(String::new());
        }
        assert_eq!(outbox.figures(), WebhookFigures { delivered: 0, failed: 3 });
    }
}
