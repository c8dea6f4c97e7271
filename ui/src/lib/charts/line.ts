/** Points as lines and bands, with a gap wherever there is no value. */

export interface Dot {
  x: number;
  y: number;
}

/** Stretches of points that follow one another. */
export function runs<Point>(points: readonly (Point | undefined)[]): Point[][] {
  const all: Point[][] = [];
  let run: Point[] = [];
  for (const point of [...points, undefined]) {
    if (point) run.push(point);
    else if (run.length > 0) {
      all.push(run);
      run = [];
    }
  }
  return all;
}

const at = ({ x, y }: Dot) => `${Math.round(x * 10) / 10} ${Math.round(y * 10) / 10}`;

/** A line; a point that stands alone is a short stroke, so that it is seen. */
export function linePath(points: readonly (Dot | undefined)[]): string {
  return runs(points)
    .map((run) => {
      const [first] = run;
      if (!first) return '';
      if (run.length === 1)
        return `M${at({ x: first.x - 1, y: first.y })}L${at({ x: first.x + 1, y: first.y })}`;
      return `M${run.map(at).join('L')}`;
    })
    .join('');
}

/** What lies between a line and one below it, to be filled. */
export function bandPath(points: readonly { upper: Dot; lower: Dot }[][]): string {
  return points
    .map((run) => {
      const there = run.map(({ upper }) => at(upper));
      const back = run.map(({ lower }) => at(lower)).reverse();
      return run.length > 0 ? `M${[...there, ...back].join('L')}Z` : '';
    })
    .join('');
}
