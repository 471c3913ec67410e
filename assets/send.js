// Sends the one form of the page.
document.forms[0].submit();
