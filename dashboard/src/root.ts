/** The address of the service, with a slash at its end, which a proxy may have put below a path.
 *
 * The script of the page is always at `assets/NAME.js` below it.
 */
export const root = new URL(
  import.meta.env.DEV ? "/" : /* @vite-ignore */ "../",
  import.meta.url,
).href;
