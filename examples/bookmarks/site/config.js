// Replaced when the site is copied to its bucket: the ApiUrl output of the stack.
window.API = "";
