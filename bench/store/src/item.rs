//! What is stored: objects that can be told apart by a number.

use bytes::Bytes;
use store::{Committed, Entry, Key, Meta, Store};

use crate::Failure;

/// Bytes of the head of an object: those of a usual response.
pub(crate) const HEAD: usize = 300;

/// The head of an object.
pub(crate) struct Head(Box<[u8]>);

impl Head {
    pub(crate) fn new() -> Self {
        Self(vec![b'h'; HEAD].into())
    }
}

impl Meta for Head {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        Some(Self(bytes.into()))
    }

    fn weight(&self) -> usize {
        self.0.len()
    }

    fn variant(&self) -> &[u8] {
        &[]
    }
}

/// Bytes of a key.
pub(crate) const KEY: usize = 49;

/// The bytes of an object's key: as long as those of a usual URL.
pub(crate) fn key_bytes(number: u64) -> [u8; KEY] {
    let mut key = *b"https://site.example/objects/000000000000000.html";
    let mut rest = number;
    for digit in key[29..44].iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    key
}

pub(crate) fn key(number: u64) -> Key {
    Key::new(&key_bytes(number))
}

/// A body that begins with the number of its object.
pub(crate) fn body(number: u64, length: usize) -> Bytes {
    let mut body = vec![b'x'; length];
    let end = length.min(8);
    body[..end].copy_from_slice(&number.to_le_bytes()[..end]);
    body.into()
}

/// Stores an object; says whether it was kept.
pub(crate) async fn put(store: &Store<Head>, number: u64, body: Bytes) -> Result<bool, Failure> {
    let length = Some(body.len() as u64);
    let Ok(mut fill) = store.begin(key(number), Head::new(), length) else { return Ok(false) };
    if !fill.try_write(&body) {
        fill.write(body).await?;
    }
    let committed = match fill.commit_now(&[]) {
        Ok((_, committed)) => committed,
        Err(fill) => fill.commit(&[]).await,
    };
    Ok(committed == Committed::Stored)
}

/// An object that is in memory.
pub(crate) fn peek(store: &Store<Head>, number: u64) -> Result<bool, Failure> {
    let Some(found) = store.peek(&key_bytes(number)) else { return Ok(false) };
    let Some(entry) = found.iter().next() else { return Ok(false) };
    // A larger body is in a memory file, which is sent and not read.
    let first = entry.in_memory().and_then(|mut pieces| pieces.next());
    first.map_or(Ok(entry.is_in_memory()), |piece| check(number, piece).map(|()| true))
}

/// An object with all of its body, wherever it is.
pub(crate) async fn get(store: &Store<Head>, number: u64) -> Result<bool, Failure> {
    let Some(found) = store.look_up(&key(number)).await else { return Ok(false) };
    let Some(entry) = found.iter().next() else { return Ok(false) };
    read(number, entry).await.map(|()| true)
}

async fn read(number: u64, entry: &std::sync::Arc<Entry<Head>>) -> Result<(), Failure> {
    if let Some(mut pieces) = entry.in_memory() {
        return pieces.next().map_or(Ok(()), |piece| check(number, piece));
    }
    let mut reader = entry.reader();
    let mut is_first = true;
    while let Some(piece) = reader.next().await? {
        if std::mem::take(&mut is_first) {
            check(number, &piece)?;
        }
    }
    Ok(())
}

fn check(number: u64, piece: &[u8]) -> Result<(), Failure> {
    let end = piece.len().min(8);
    if piece[..end] == number.to_le_bytes()[..end] {
        return Ok(());
    }
    Err(format!("object {number} came with the body of another one").into())
}
