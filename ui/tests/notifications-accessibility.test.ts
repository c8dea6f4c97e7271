import axe from 'axe-core';
import { fireEvent } from '@testing-library/svelte';
import { describe, expect, test, vi } from 'vitest';
import type { Scenario } from '$lib/ipc/fixture/scenarios';
import Notifications from '../src/routes/notifications/+page.svelte';
import { press, screen, settle, show, small } from './frame';

// axe computes every element's style, which the tests' DOM does slowly, and a busy machine more slowly still.
vi.setConfig({ testTimeout: 240_000 });

async function findings(container: HTMLElement): Promise<string[]> {
  const { violations } = await axe.run(container, { rules: { 'color-contrast': { enabled: false } } });
  return violations.flatMap((violation) =>
    violation.nodes.map((node) => `${violation.id}: ${node.html.slice(0, 160)}`),
  );
}

describe('axe finds nothing in notifications', () => {
  test.each<Scenario>(['busy', 'empty', 'long'])('on the page, %s', async (scenario) => {
    const { container } = await show(Notifications, {}, { path: '/notifications', fixture: small(scenario) });
    expect(container.querySelector('h1')?.textContent).toBeTruthy();
    for (const toggle of screen.queryAllByRole('button', { expanded: false, name: /^(Critical|Info)/ })) {
      await fireEvent.click(toggle);
    }
    await settle();
    expect(await findings(container)).toEqual([]);
  });

  test('in the form of each kind', async () => {
    const fixture = small('empty');
    const { container } = await show(Notifications, {}, { fixture });
    await fireEvent.click(screen.getAllByRole('button', { name: 'Add a channel' })[0] as HTMLElement);
    await settle();
    const dialog = container.querySelector<HTMLElement>('dialog[open]') as HTMLElement;
    expect(await findings(dialog)).toEqual([]);
    const kinds = [...dialog.querySelectorAll('li .name')].map((name) => name.textContent);
    expect(kinds).toHaveLength(11);
    for (const kind of kinds) {
      await press(new RegExp(`^${kind} `));
      // The list of exceptions is the same for all: once is enough.
      const folded = dialog.querySelectorAll<HTMLDetailsElement>(
        kind === 'E-mail' ? 'details' : '.fields details',
      );
      for (const details of folded) {
        details.open = true;
        await fireEvent(details, new Event('toggle'));
      }
      await new Promise((resolve) => setTimeout(resolve, 300));
      await press('Save');
      expect([kind, await findings(dialog)]).toEqual([kind, []]);
      await press('Another kind');
    }
  });

  test('where a chat is found, a test fails, and what is kept can be removed', async () => {
    const fixture = small();
    const channel = fixture.world.channels.find(({ kind }) => kind === 'telegram');
    const hook = fixture.world.channels.find(({ kind }) => kind === 'slack');
    if (hook) {
      Object.assign(hook, {
        kind: 'webhook',
        address: { kind: 'webhook', method: 'POST', template: null },
        secrets: ['url', 'headers', 'signing_key'],
      });
    }
    const { container } = await show(Notifications, {}, { fixture });
    await press(`More for ${channel?.name ?? ''}`);
    await fireEvent.click(screen.getByRole('menuitem', { name: 'Edit' }));
    await settle();
    await press('Find my chat');
    fixture.overrides.set('test_channel', () => ({
      failure: {
        code: 'unreachable',
        message: 'Telegram could not be reached.',
        hint: 'Wait.',
        details: 'os error 101',
      },
      remark: null,
      certificate: 'ab'.repeat(32),
    }));
    await press('Send a test');
    expect(await findings(container.querySelector('dialog[open]') as HTMLElement)).toEqual([]);
    await press('Leave as it is');
    await press('More for Team Slack');
    await fireEvent.click(screen.getByRole('menuitem', { name: 'Edit' }));
    await settle();
    expect(screen.getAllByRole('button', { name: 'Remove what is kept' })).toHaveLength(2);
    expect(await findings(container.querySelector('dialog[open]') as HTMLElement)).toEqual([]);
  });
});
