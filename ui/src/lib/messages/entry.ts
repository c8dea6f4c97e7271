/** What a catalogue holds under a key. An entry with `one` and `other` is chosen by its number `n`. */
export type Entry = string | { readonly one: string; readonly other: string };

/** The messages of one area. A key is the area's word and a name: `plan.title`. */
export type Messages = Readonly<Record<`${string}.${string}`, Entry>>;
