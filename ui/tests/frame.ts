/** Renders a page inside what the frame provides. */
import { cleanup, fireEvent, render, screen } from '@testing-library/svelte';
import { page } from '$app/state';
import { tick, type Component } from 'svelte';
import { useTransport } from '$lib/ipc';
import { Fixture, type FixtureOptions } from '$lib/ipc/fixture';
import Frame from './Frame.svelte';

/** Lets answers of the fixture and what follows from them arrive. */
export async function settle(): Promise<void> {
  for (let index = 0; index < 6; index += 1) {
    await new Promise((resolve) => setTimeout(resolve));
    await tick();
  }
}

export interface Shown {
  fixture: Fixture;
  container: HTMLElement;
}

export async function show<Props extends Record<string, unknown>>(
  component: Component<Props>,
  props: Props,
  options: FixtureOptions & { path?: string; fixture?: Fixture } = {},
): Promise<Shown> {
  const fixture = options.fixture ?? new Fixture(options);
  useTransport(fixture);
  const url = new URL(options.path ?? '/', 'http://localhost');
  Object.assign(page, { url });
  const { container } = render(Frame, { props: { component: component as Component, inner: props } });
  await settle();
  return { fixture, container };
}

/** A world with a few of everything, for tests that look at each element. */
export function small(scenario: FixtureOptions['scenario'] = 'busy'): Fixture {
  const fixture = new Fixture({ scenario });
  const { world } = fixture;
  const kept = new Set(
    world.databases.flatMap((database) =>
      world.backups.filter((backup) => backup.database_id === database.id).slice(0, 4),
    ),
  );
  world.backups = world.backups.filter((backup) => kept.has(backup));
  world.runs = world.runs.filter(
    (run) =>
      run.kind === 'drill' ||
      run.state.state !== 'succeeded' ||
      world.backups.some((backup) => backup.run_id === run.id),
  );
  for (const backup of world.backups) backup.tables = 12;
  return fixture;
}

/** Pastes a connection into the first step of adding a database, and lets it be read. */
export async function paste(text: string): Promise<void> {
  const area = screen.getByRole('textbox', { name: 'Connection' });
  await fireEvent.focus(area);
  await fireEvent.input(area, { target: { value: text } });
  await new Promise((resolve) => setTimeout(resolve, 150));
  await settle();
}

export async function press(name: string | RegExp): Promise<void> {
  await fireEvent.click(screen.getByRole('button', { name }));
  await settle();
}

/** What a command was asked with, in order. */
export function called(fixture: Fixture, command: string): Record<string, unknown>[] {
  return fixture.calls.filter((each) => each.command === command).map((each) => each.args);
}

export { cleanup, screen };
