/** Sets the chosen theme before anything is painted: which is why this is a script, and no module. */
{
  let theme = "system";
  try {
    theme = JSON.parse(localStorage.getItem("causerie.preferences") ?? "{}").theme ?? theme;
  } catch {
    // Where storage is closed, the system's theme it is.
  }
  document.documentElement.dataset.theme = theme;
}
