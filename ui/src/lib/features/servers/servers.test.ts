import { beforeEach, describe, expect, test } from 'vitest';
import { useTransport } from '$lib/ipc';
import { Fixture } from '$lib/ipc/fixture';
import { EVERYTHING } from '../plans/editor.svelte';
import { BLANK, formatConnection, formatWay, maskPassword } from './connection';
import { ConnectionForm } from './connection-form.svelte';
import { ConnectionTest } from './connection-test.svelte';

describe('a password on a screen', () => {
  test.each([
    ['postgres://u:s3cret@h/db', 'postgres://u:••••••@h/db'],
    ['postgres://u:p@ss:w@rd@h:5432/db?sslmode=require', 'postgres://u:••••••@h:5432/db?sslmode=require'],
    ['DATABASE_URL="postgresql://u:x@h/db"', 'DATABASE_URL="postgresql://u:••••••@h/db"'],
    ["host=h password='two words' user=u", 'host=h password=•••••• user=u'],
    ['host=h password=plain', 'host=h password=••••••'],
    ['PGPASSWORD=s3cret psql -h h', 'PGPASSWORD=•••••• psql -h h'],
    [
      'postgres://h/db?user=u&password=s3cret&sslmode=require',
      'postgres://h/db?user=u&password=••••••&sslmode=require',
    ],
  ])('%s is shown as %s', (text, shown) => {
    expect(maskPassword(text)).toBe(shown);
  });

  test.each(['postgres://u@h:5432/db', 'host=h user=u dbname=db', 'psql -h h -U u db', ''])(
    '%j has none, and is left alone',
    (text) => {
      expect(maskPassword(text)).toBe(text);
    },
  );
});

test('an IPv6 address stands in brackets', () => {
  const form = new ConnectionForm();
  form.host = '[2001:db8::1]';
  form.role = 'u';
  form.database = 'db';
  expect(form.connection?.host).toBe('2001:db8::1');
  expect(form.connection && formatConnection(form.connection)).toBe('u@[2001:db8::1]:5432/db');
});

test.each(['', '0', '65536', '5432x', '-1', '5 4'])('port %j makes no connection', (port) => {
  const form = new ConnectionForm();
  form.host = 'h';
  form.role = 'u';
  form.database = 'db';
  expect(form.connection?.port).toBe(5432);
  form.port = port;
  expect(form.connection).toBeUndefined();
});

describe('the tunnel of a connection', () => {
  const bastion = { host: 'bastion', port: 2222, user: 'ada', login: { with: 'agent' as const } };
  const straight = () => new ConnectionForm({ ...BLANK, host: 'h', role: 'u', database: 'db' });

  test('goes along only where it is wanted', () => {
    const form = straight();
    expect(form.connection).not.toHaveProperty('tunnel');
    form.take({ ...BLANK, host: 'h', role: 'u', database: 'db', tunnel: bastion });
    expect(form.connection?.tunnel).toEqual(bastion);
    form.tunnel.on = false;
    expect(form.connection).not.toHaveProperty('tunnel');
  });

  test('makes no connection while its server is not named', () => {
    const form = straight();
    form.tunnel.on = true;
    expect(form.connection).toBeUndefined();
    form.tunnel.ssh.host = ' bastion ';
    expect(form.connection?.tunnel).toEqual({
      host: 'bastion',
      port: null,
      user: null,
      login: { with: 'auto' },
    });
  });

  test('stays when the form is filled from a text, which knows none', () => {
    const form = straight();
    form.tunnel.take(bastion);
    form.takeText({ ...BLANK, host: 'other', role: 'u', database: 'db' });
    expect(form.connection).toMatchObject({ host: 'other', tunnel: bastion });
  });

  test('takes a secret along where its login needs one', () => {
    const form = straight();
    form.tunnel.on = true;
    form.tunnel.secret = 's3cret';
    expect(form.tunnel.given).toBe('s3cret');
    form.tunnel.ssh.login = 'agent';
    expect(form.tunnel.given).toBeUndefined();
    form.tunnel.ssh.login = 'password';
    form.tunnel.on = false;
    expect(form.tunnel.given).toBeUndefined();
  });

  test('is said in words', () => {
    const connection = { ...BLANK, host: 'h', role: 'u', database: 'db' };
    expect(formatWay(connection)).toBe('u@h:5432/db');
    expect(formatWay({ ...connection, tunnel: bastion })).toBe(
      'u@h:5432/db, through SSH by ada@bastion:2222',
    );
  });
});

describe('a test of a connection', () => {
  let fixture: Fixture;
  const text = (host: string) => ({
    type: 'text' as const,
    text: `postgres://reader@${host}/shop`,
    password: null,
  });

  beforeEach(() => {
    fixture = new Fixture();
    useTransport(fixture);
  });

  test('fills its checklist line by line', async () => {
    const seen: string[] = [];
    const test = new ConnectionTest();
    const hear = test.hear.bind(test);
    test.hear = (event) => {
      hear(event);
      seen.push(test.lines.map((line) => line.state.slice(0, 2)).join(' '));
    };
    const report = await test.start(text('db.example.com'), EVERYTHING);
    expect(seen.length).toBe(7);
    expect(seen[0]).toBe('pa pe pe pe pe pe pe pe');
    expect(seen.at(-1)).toBe('pa pa pa pa pa fa pe wa');
    expect(report?.ok).toBe(false);
    expect(test.lines.find((line) => line.id === 'rights')?.step?.sql).toContain('GRANT SELECT');
  });

  test('has a line for the tunnel where there is one, from its beginning', async () => {
    const tunnel = { host: 'bastion', port: null, user: null, login: { with: 'auto' as const } };
    const test = new ConnectionTest();
    const under = test.start({ ...text('db.example.com'), tunnel }, EVERYTHING);
    expect(test.lines[0]).toMatchObject({ id: 'tunnel', state: 'pending' });
    await under;
    expect(test.lines[0]).toMatchObject({ id: 'tunnel', state: 'passed' });
    const straight = test.start(text('db.example.com'), EVERYTHING);
    expect(test.lines[0]?.id).toBe('reach');
    await straight;
    expect(test.lines[0]?.id).toBe('reach');
  });

  test('leaves out at the end what the engine never named', async () => {
    const test = new ConnectionTest();
    await test.start(text('db.example.com'), EVERYTHING);
    expect(test.lines.map((line) => line.id)).not.toContain('selection');
  });

  test('does not heed the steps of another test', async () => {
    const test = new ConnectionTest();
    await test.start(text('db.example.com'), EVERYTHING);
    const before = test.lines;
    test.hear({
      type: 'test_step',
      test_id: 'another',
      step: { id: 'reach', state: 'failed', finding: null, failure: null, sql: null },
    });
    expect(test.lines).toEqual(before);
  });

  test('that is begun anew ends the one before, whose answer no longer counts', async () => {
    let release: (report: unknown) => void = () => undefined;
    fixture.overrides.set('test_connection', () => new Promise((resolve) => (release = resolve)));
    const test = new ConnectionTest();
    const first = test.start(text('db.example.com'), EVERYTHING);
    await new Promise((resolve) => setTimeout(resolve));
    fixture.overrides.delete('test_connection');
    const second = await test.start(text('db.nowhere'), EVERYTHING);
    release({ ok: true, steps: [] });
    await first;
    expect(fixture.calls.map((each) => each.command)).toContain('cancel_test');
    expect(test.report).toEqual(second);
    expect(test.running).toBe(false);
  });

  test('that cannot be made says why', async () => {
    fixture.overrides.set('test_connection', () => {
      throw { code: 'keyring_locked', message: 'The keyring is locked.', hint: null, details: null };
    });
    const test = new ConnectionTest();
    await test.start(text('db.example.com'), EVERYTHING);
    expect(test.failure?.code).toBe('keyring_locked');
    expect(test.running).toBe(false);
  });
});
