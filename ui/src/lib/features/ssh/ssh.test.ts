import { describe, expect, test } from 'vitest';
import { parsePort } from './port';
import { SshForm } from './ssh-form.svelte';
import { formatSsh } from './words';

describe('an SSH server in a form', () => {
  test('leaves to ~/.ssh/config what is not typed', () => {
    const form = new SshForm();
    form.host = ' bastion ';
    expect(form.target).toEqual({ host: 'bastion', port: null, user: null, login: { with: 'auto' } });
  });

  test('comes back as it was taken', () => {
    const target = {
      host: 'nas.example.com',
      port: 2222,
      user: 'ada',
      login: { with: 'key' as const, file: '~/.ssh/id_ed25519' },
    };
    const form = new SshForm();
    form.take(target);
    expect(form.target).toEqual(target);
    form.take(undefined);
    expect(form.host + form.port + form.user + form.keyFile).toBe('');
    expect(form.login).toBe('auto');
  });

  test('says what is missing', () => {
    const form = new SshForm();
    expect(form.problem).toBe('Say which host.');
    form.host = 'h';
    form.port = '70000';
    expect(form.problem).toBe('A number from 1 to 65535.');
    form.port = '';
    form.login = 'key';
    expect(form.problem).toBe('Say which private key.');
    form.keyFile = 'id';
    expect(form.problem).toBeUndefined();
  });

  test.each([
    ['auto', 'password_or_passphrase'],
    ['agent', undefined],
    ['key', 'passphrase'],
    ['password', 'password'],
  ] as const)('that logs in by %s has the secret %s', (login, secret) => {
    const form = new SshForm();
    form.login = login;
    expect(form.secret).toBe(secret);
  });
});

test.each([
  ['', null],
  [' 22 ', 22],
  ['65535', 65535],
  ['0', undefined],
  ['65536', undefined],
  ['22x', undefined],
  ['-1', undefined],
])('%j as a port is %s', (text, port) => {
  expect(parsePort(text)).toBe(port);
});

test.each([
  [{ host: 'bastion', port: null, user: null }, 'bastion'],
  [{ host: 'bastion', port: 2222, user: 'ada' }, 'ada@bastion:2222'],
  [{ host: '2001:db8::1', port: 22, user: 'ada' }, 'ada@[2001:db8::1]:22'],
])('an SSH server is written as people write it', (target, text) => {
  expect(formatSsh({ ...target, login: { with: 'auto' } })).toBe(text);
});
