// Keys of every grid on the page: arrow keys go from cell to cell, Home and End to the ends of a row. Edges hold.
// Returns [column, row] of the next cell, from 0, or null for another key. `sides` are the numbers of columns and rows.
window.wuerstMoveInGrid = (event, [column, row], sides) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return null;
  const next = {
    ArrowLeft: [column - 1, row],
    ArrowRight: [column + 1, row],
    ArrowUp: [column, row - 1],
    ArrowDown: [column, row + 1],
    Home: [0, row],
    End: [sides[0] - 1, row],
  }[event.key];
  if (!next) return null;
  event.preventDefault();
  return next.map((at, axis) => Math.max(0, Math.min(sides[axis] - 1, at)));
};
