// Shows the document that the page names. `validatorUrl`: no badge, which another host would draw.
const place = document.getElementById("swagger-ui");
window.SwaggerUIBundle({ url: place.dataset.openapi, domNode: place, deepLinking: true, validatorUrl: null });
