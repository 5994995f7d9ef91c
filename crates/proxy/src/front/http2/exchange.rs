//! A request that waits for disk or origin, on a stream of its own.

use std::future::{Future, pending, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;

use h2::RecvStream;
use tokio::sync::mpsc;

use super::deliver::{Delivery, Stream};
use super::faults::Faults;
use super::head;
use super::intake::Intake;
use super::leftover::Leftover;
use super::malformed::Malformed;
use super::receive::Announced;
use super::room::Upload;
use crate::content::{Informational, RequestContent};
use crate::error::Refusal;
use crate::request::{self, Answer, Next};

/// The client has reset its stream.
struct Gone;

/// Takes a request without content through the steps that wait.
pub(super) async fn wait(mut stream: Stream, next: Next) {
    let most = stream.worker.shared.limits.informational;
    let (interim, hints) = mpsc::channel(most);
    // In a block and a box of its own: what waits for the answer is gone before it is delivered.
    let answer = {
        let (worker, request) = (stream.worker.clone(), stream.request.clone());
        let finish = Box::pin(request::finish(&worker, &request, next, None, interim));
        answer(&mut stream, finish, hints).await
    };
    deliver(stream, answer, pin!(pending())).await;
}

/// The same with content, which is handed on while the response may already be on its way.
pub(super) async fn exchange(
    stream: Stream,
    next: Next,
    mut body: RecvStream,
    announced: Announced,
    faults: Arc<Faults>,
    _upload: Upload,
) {
    let mut leftover = Leftover::default();
    answer_while_it_comes(stream, next, (&mut body, &mut leftover), announced, &faults).await;
    leftover.take_behind(body).await;
}

/// Sends what is left of a response whose request goes no further, and takes what comes of that.
pub(super) async fn finish(delivery: Option<Delivery>, body: Option<RecvStream>) {
    let mut leftover = Leftover::default();
    match (delivery, body) {
        (Some(mut delivery), Some(mut body)) => {
            tokio::select! {
                biased;
                () = delivery.run() => {}
                never = leftover.take_beside(&mut body) => match never {},
            }
            leftover.take_behind(body).await;
        }
        (Some(mut delivery), None) => delivery.run().await,
        (None, Some(body)) => leftover.take_behind(body).await,
        (None, None) => {}
    }
}

async fn answer_while_it_comes(
    mut stream: Stream,
    next: Next,
    (body, leftover): (&mut RecvStream, &mut Leftover),
    announced: Announced,
    faults: &Faults,
) {
    let limits = stream.worker.shared.limits.clone();
    let (sender, content) = RequestContent::channel(announced.length);
    let (interim, hints) = mpsc::channel(limits.informational);
    let to_continue = announced.expects_continue.then(|| interim.clone());
    let intake = Intake::new(body, leftover, announced.length, &limits, faults);
    let mut malformed = pin!(intake.run(sender, to_continue));
    let answer = {
        let (worker, request) = (stream.worker.clone(), stream.request.clone());
        let finish = request::finish(&worker, &request, next, Some(content), interim);
        tokio::select! {
            biased;
            // With its content half sent, the origin's request is broken off.
            bad = &mut malformed => Err(bad),
            answer = answer(&mut stream, Box::pin(finish), hints) => Ok(answer),
        }
    };
    match answer {
        Ok(answer) => deliver(stream, answer, malformed).await,
        Err(bad) => stream.refuse(bad, 0),
    }
}

/// Delivers the answer to its end, or until the request turns out to be `malformed`.
async fn deliver(
    stream: Stream,
    answer: Result<Answer, Gone>,
    malformed: Pin<&mut impl Future<Output = Malformed>>,
) {
    let answer = match answer {
        Ok(answer) => answer,
        // As in HTTP/1.1, there is nothing to tell of a request that its client took back.
        Err(Gone) => return stream.turns.forget(stream.number),
    };
    let Some(mut delivery) = stream.deliver(answer, &mut Vec::with_capacity(1024)) else { return };
    tokio::select! {
        biased;
        bad = malformed => delivery.refuse(bad),
        () = delivery.run() => {}
    }
}

/// Waits for the answer, and passes on the informational responses that come before it.
async fn answer(
    stream: &mut Stream,
    mut finish: Pin<Box<impl Future<Output = Result<Answer, Refusal>>>>,
    mut hints: mpsc::Receiver<Informational>,
) -> Result<Answer, Gone> {
    let outcome = loop {
        let respond = &mut stream.respond;
        tokio::select! {
            biased;
            Some(hint) = hints.recv() => inform(stream, &hint),
            outcome = &mut finish => break outcome,
            _ = poll_fn(|cx| respond.poll_reset(cx)) => return Err(Gone),
        }
    };
    while let Ok(hint) = hints.try_recv() {
        inform(stream, &hint);
    }
    let method = &stream.request.head.method;
    Ok(outcome.unwrap_or_else(|refusal| request::refusal(&stream.worker, method, &refusal)))
}

/// They are hints: a stream that takes none will tell so when the response comes.
fn inform(stream: &mut Stream, hint: &Informational) {
    let _ = stream.respond.send_informational(head::informational(hint.status, &hint.fields));
}
