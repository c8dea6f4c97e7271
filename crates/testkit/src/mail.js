// A mail server on 127.0.0.1 that keeps what it takes as files, and misbehaves as it is told. Its one argument is JSON; what may
// be in it says mail.rs.

'use strict';

const fs = require('node:fs');
const path = require('node:path');
const { SMTPServer } = require('smtp-server');

const told = JSON.parse(process.argv[2]);
const refusals = new Map(Object.entries(told.recipients ?? {}));
let mails = 0;

function refusal(code, text) {
    const error = new Error(text);
    error.responseCode = code;
    return error;
}

function base64(text) {
    return Buffer.from(text).toString('base64');
}

// What an administrator's debugging leaves in a server's answers.
function echo(auth) {
    const secret = auth.password ?? auth.accessToken;
    const line =
        auth.method === 'XOAUTH2'
            ? base64(`user=${auth.username}\x01auth=Bearer ${secret}\x01\x01`)
            : base64(`\0${auth.username}\0${secret}`);
    return `refused: AUTH ${auth.method} ${line} (${base64(secret)}; ${secret}; ${line.slice(0, -6)})`;
}

function cut(session) {
    for (const connection of server.connections) {
        if (connection.session === session) connection._socket.destroy();
    }
}

// Whether the conversation goes on at this stage.
function goesOn(stage, session) {
    if (told.closeAt === stage) cut(session);
    return told.closeAt !== stage && told.hangAt !== stage;
}

const server = new SMTPServer({
    secure: told.implicit ?? false,
    ...(told.certificate && { cert: fs.readFileSync(told.certificate), key: fs.readFileSync(told.key) }),
    hideSTARTTLS: told.hideStarttls ?? false,
    hideSMTPUTF8: told.hideUtf8 ?? false,
    // Some that the client must do without.
    hide8BITMIME: true,
    authMethods: told.methods ?? ['PLAIN', 'LOGIN', 'XOAUTH2'],
    authOptional: !told.login,
    disabledCommands: told.login ? [] : ['AUTH'],
    allowInsecureAuth: true,
    disableReverseLookup: true,
    closeTimeout: 100,
    logger: true,
    onConnect(session, answer) {
        if (!goesOn('greeting', session)) return;
        answer(told.busy ? refusal(421, 'try again later') : null);
    },
    onAuth(auth, session, answer) {
        if (!goesOn('login', session)) return;
        if (told.refuseLogin) return answer(refusal(told.refuseLogin.code, told.refuseLogin.text));
        if (told.echo) return answer(refusal(535, echo(auth)));
        const right = auth.method === 'XOAUTH2' ? auth.accessToken === told.token : auth.password === told.password;
        if (auth.username === told.user && right) return answer(null, { user: { name: auth.username, method: auth.method } });
        answer(null, { data: { status: '401', schemes: 'bearer' } });
    },
    onMailFrom(address, session, answer) {
        if (!goesOn('sender', session)) return;
        answer(told.refuseSender ? refusal(told.refuseSender.code, told.refuseSender.text) : null);
    },
    onRcptTo(address, session, answer) {
        if (!goesOn('recipient', session)) return;
        const refused = refusals.get(address.address);
        if (!refused || refused.times === 0) return answer();
        if (refused.times) refused.times -= 1;
        answer(refusal(refused.code, refused.text));
    },
    onData(stream, session, answer) {
        const parts = [];
        stream.on('data', (part) => parts.push(part));
        stream.on('end', () => {
            if (!goesOn('data', session)) return;
            if (told.refuseData) return answer(refusal(told.refuseData.code, told.refuseData.text));
            mails += 1;
            const name = path.join('mails', String(mails).padStart(4, '0'));
            fs.writeFileSync(`${name}.eml`, Buffer.concat(parts));
            const envelope = {
                from: session.envelope.mailFrom.address,
                to: session.envelope.rcptTo.map((recipient) => recipient.address),
                encrypted: session.secure,
                method: session.user?.method ?? null,
                hello: session.hostNameAppearsAs,
            };
            // Under its own name only when it is whole.
            fs.writeFileSync(`${name}.part`, JSON.stringify(envelope));
            fs.renameSync(`${name}.part`, `${name}.json`);
            answer(null, `kept as ${mails}`);
        });
    },
});
server.on('error', (error) => console.log(String(error)));
fs.mkdirSync('mails');
server.listen(told.port, '127.0.0.1');
