//! As much of the DevTools protocol, and of WebSocket (RFC 6455) below it, as asking a browser for a page takes.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use serde_json::{Value, json};

/// One tab of a browser.
pub(crate) struct DevTools {
    stream: TcpStream,
    serial: u64,
    /// What it told without being asked.
    pub(crate) events: Vec<Value>,
}

fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).expect("the browser listens");
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .expect("a socket");
    stream
}

fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).expect("an answer");
        head.push(byte[0]);
    }
    String::from_utf8_lossy(&head).into_owned()
}

impl DevTools {
    /// A new tab of the browser that listens there.
    pub(crate) fn open(port: u16) -> Self {
        let mut stream = connect(port);
        write!(stream, "PUT /json/new?about:blank HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-length: 0\r\n\r\n")
            .expect("it reads");
        let told = head(&mut stream).to_ascii_lowercase();
        let length = told
            .lines()
            .find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok())
            .expect("a length");
        let mut body = vec![0; length];
        stream.read_exact(&mut body).expect("a tab");
        let tab: Value = serde_json::from_slice(&body).expect("JSON");
        let url = tab["webSocketDebuggerUrl"].as_str().expect("an address");
        let path = url.splitn(4, '/').nth(3).expect("a path");
        let mut stream = connect(port);
        write!(
            stream,
            "GET /{path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        .expect("it reads");
        let answer = head(&mut stream);
        assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
        Self {
            stream,
            serial: 0,
            events: Vec::new(),
        }
    }

    /// Calls a method and waits for its answer.
    pub(crate) fn call(&mut self, method: &str, parameters: &Value) -> Value {
        self.serial += 1;
        self.send(
            &json!({ "id": self.serial, "method": method, "params": parameters }).to_string(),
        );
        loop {
            let told = self.receive();
            if told["id"] == self.serial {
                assert!(told["error"].is_null(), "{method}: {told}");
                return told["result"].clone();
            }
            self.events.push(told);
        }
    }

    /// The value of an expression in the page, awaited where it is a promise.
    pub(crate) fn evaluate(&mut self, expression: &str) -> Value {
        let result = self.call(
            "Runtime.evaluate",
            &json!({ "expression": expression, "returnByValue": true, "awaitPromise": true }),
        );
        result["result"]["value"].clone()
    }

    /// One text frame, masked as a client's must be (with zeros: the mask is against proxies, of which there are none).
    fn send(&mut self, text: &str) {
        let mut frame = vec![0x81, 0x80 | 127];
        frame.extend((text.len() as u64).to_be_bytes());
        frame.extend([0; 4]);
        frame.extend(text.as_bytes());
        self.stream.write_all(&frame).expect("it reads");
    }

    /// The next message, of as many frames as it has.
    fn receive(&mut self) -> Value {
        let mut message = Vec::new();
        loop {
            let mut start = [0; 2];
            self.stream.read_exact(&mut start).expect("a frame");
            let length = match start[1] & 0x7f {
                126 => {
                    let mut length = [0; 2];
                    self.stream.read_exact(&mut length).expect("a length");
                    usize::from(u16::from_be_bytes(length))
                }
                127 => {
                    let mut length = [0; 8];
                    self.stream.read_exact(&mut length).expect("a length");
                    u64::from_be_bytes(length) as usize
                }
                short => usize::from(short),
            };
            let mut part = vec![0; length];
            self.stream.read_exact(&mut part).expect("a frame");
            // Not pings: those are control frames, and nobody here waits long enough to be asked.
            if start[0] & 0x0f <= 2 {
                message.extend(part);
                if start[0] & 0x80 != 0 {
                    return serde_json::from_slice(&message).expect("JSON");
                }
            }
        }
    }
}
