// The visitor's choice of dark or light, set before anything is drawn: a module would come too late and flash.
try {
  const theme = localStorage.getItem("piecework theme");
  if (theme) document.documentElement.dataset.theme = theme;
} catch {
  // Storage is refused: the system's setting holds.
}
