// Writes the dashboards, one JSON file each, into the directory that is named on
// the command line.
import { build, Board } from './board';
import { ca } from './ca';
import { exporters } from './exporters';
import { incidents } from './incidents';
import { locations } from './locations';
import { overview } from './overview';

declare const process: { argv: string[]; exit(code: number): never };
declare function require(name: 'node:fs'): { writeFileSync(path: string, text: string): void };

const directory = process.argv[2];
if (!directory) {
  console.error('usage: node main.js DIRECTORY');
  process.exit(2);
}
const boards: Board[] = [overview, ca, locations, incidents, exporters];
for (const board of boards) {
  require('node:fs').writeFileSync(`${directory}/${board.uid}.json`, JSON.stringify(build(board), null, 2) + '\n');
}
