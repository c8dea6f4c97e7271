/** SSH servers: how they are reached, and the keys that they show. */
import type { Messages } from '../entry';

export const ssh = {
  'ssh.host': 'Host or alias',
  'ssh.host_hint': 'An alias of ~/.ssh/config will do.',
  'ssh.port': 'SSH port',
  'ssh.port_hint': 'Empty: what ~/.ssh/config says, else 22.',
  'ssh.user': 'User',
  'ssh.user_hint': 'Empty: what ~/.ssh/config says, else yours.',
  'ssh.login': 'Login',
  'ssh.key_file': 'Private key',

  'ssh_login.auto': 'As ssh does',
  'ssh_login.agent': 'By the agent',
  'ssh_login.key': 'With a key file',
  'ssh_login.password': 'With a password',

  'ssh_login_hint.auto': 'The agent, then the keys of ~/.ssh/config, then the usual ones.',
  'ssh_login_hint.agent': 'With the keys that the agent holds.',
  'ssh_login_hint.key': 'With this key alone.',
  'ssh_login_hint.password': 'The server asks for it.',

  'ssh_secret.password': 'SSH password',
  'ssh_secret.passphrase': 'Passphrase of the key',
  'ssh_secret.password_or_passphrase': 'Password or passphrase, where one is needed',

  'ssh_problem.host': 'Say which host.',
  'ssh_problem.port': 'A number from 1 to 65535.',
  'ssh_problem.key_file': 'Say which private key.',

  'host_key.accept': 'Accept this key',
} as const satisfies Messages;
