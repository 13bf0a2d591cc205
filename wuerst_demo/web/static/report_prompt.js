// Asks for the report on the prompt: at once, but while somebody types at most every PAUSE_MS. Each takes some
// milliseconds of the browser and of the server, which live pictures need.
() => {
  const PAUSE_MS = 400;
  const ask = () => {
    document.getElementById("report-prompt").click();
    window.wuerstReport = { asked: false };
    setTimeout(() => {
      const { asked } = window.wuerstReport;
      window.wuerstReport = null;
      if (asked) ask();
    }, PAUSE_MS);
  };
  if (window.wuerstReport) window.wuerstReport.asked = true;
  else ask();
}
