// What a picture is before the first prediction.

const FRAME_MILLISECONDS = 90;
const still = matchMedia("(prefers-reduced-motion: reduce)");

/** Draws gaussian noise on a canvas, again and again while `alive()`, or once where motion is not wanted. */
export function shimmer(canvas, alive) {
  const context = canvas.getContext("2d");
  const pixels = context.createImageData(canvas.width, canvas.height);
  let drawn = -Infinity;
  const draw = (now) => {
    if (now - drawn >= FRAME_MILLISECONDS) {
      drawn = now;
      for (let i = 0; i < pixels.data.length; i += 4) {
        pixels.data.fill(128 + 44 * normal(), i, i + 3);
        pixels.data[i + 3] = 255;
      }
      context.putImageData(pixels, 0, 0);
    }
    if (alive() && !still.matches) requestAnimationFrame(draw);
  };
  requestAnimationFrame(draw);
}

/** A sample of the standard normal distribution (Box and Muller 1958). */
function normal() {
  return Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
}
