/** Processes the items, and returns how many are done. It stops between two items. */
export async function run(items, signal) {
  let done = 0;
  for (const item of items) {
    if (signal.aborted) break;
    console.log(`processing ${item}`);
    done += 1;
  }
  return done;
}
