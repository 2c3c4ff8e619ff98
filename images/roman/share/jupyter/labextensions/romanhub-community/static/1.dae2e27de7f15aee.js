"use strict";(self.rspackChunkromanhub_community=self.rspackChunkromanhub_community||[]).push([[1],{20(e,r,t){var n=t(21),a=t.n(n),o=t(22),i=(t.n(o))()(a());i.push([e.id,`.romanhub-share {
  display: grid;
  gap: 6px;
  min-width: min(34rem, 80vw);
}

.romanhub-share p {
  margin: 0 0 6px;
  max-width: 40rem;
}

.romanhub-share label {
  display: grid;
  grid-template-columns: 9rem 1fr;
  gap: 8px;
  align-items: start;
}

.romanhub-share input.jp-mod-styled,
.romanhub-share textarea.jp-mod-styled {
  font-family: var(--jp-ui-font-family);
  font-size: var(--jp-ui-font-size1);
}

.romanhub-share textarea.jp-mod-styled {
  background: var(--jp-input-background);
  border: 1px solid var(--jp-input-border-color);
  color: var(--jp-ui-font-color0);
  height: auto;
  padding: 4px 7px;
  resize: vertical;
}

.romanhub-newer {
  /* Lab gives it no more than this. */
  min-height: 36px;
  align-items: center;
  background: var(--jp-layout-color2);
  border-bottom: 1px solid var(--jp-border-color1);
  color: var(--jp-ui-font-color1);
  display: flex;
  gap: 8px;
  padding: 4px 12px;
}

.romanhub-newer a {
  color: var(--jp-content-link-color);
  text-decoration: underline;
}

@media (max-width: 640px) {
  .romanhub-share label {
    grid-template-columns: 1fr;
    gap: 2px;
  }
}
`,""]),t.d(r,{},{A:i})},22(e){e.exports=function(e){var r=[];return r.toString=function(){return this.map(function(r){var t="",n=void 0!==r[5];return r[4]&&(t+="@supports (".concat(r[4],") {")),r[2]&&(t+="@media ".concat(r[2]," {")),n&&(t+="@layer".concat(r[5].length>0?" ".concat(r[5]):""," {")),t+=e(r),n&&(t+="}"),r[2]&&(t+="}"),r[4]&&(t+="}"),t}).join("")},r.i=function(e,t,n,a,o){"string"==typeof e&&(e=[[null,e,void 0]]);var i={};if(n)for(var s=0;s<this.length;s++){var c=this[s][0];null!=c&&(i[c]=!0)}for(var u=0;u<e.length;u++){var p=[].concat(e[u]);n&&i[p[0]]||(void 0!==o&&(void 0===p[5]||(p[1]="@layer".concat(p[5].length>0?" ".concat(p[5]):""," {").concat(p[1],"}")),p[5]=o),t&&(p[2]&&(p[1]="@media ".concat(p[2]," {").concat(p[1],"}")),p[2]=t),a&&(p[4]?(p[1]="@supports (".concat(p[4],") {").concat(p[1],"}"),p[4]=a):p[4]="".concat(a)),r.push(p))}},r}},21(e){e.exports=function(e){return e[1]}},13(e,r,t){t.r(r);var n=t(14),a=t.n(n),o=t(15),i=t.n(o),s=t(16),c=t.n(s),u=t(17),p=t.n(u),l=t(18),d=t.n(l),m=t(19),f=t.n(m),h=t(20),v={};v.styleTagTransform=f(),v.setAttributes=p(),v.insert=c().bind(null,"head"),v.domAPI=i(),v.insertStyleElement=d(),a()(h.A,v);let b=h.A&&h.A.locals?h.A.locals:void 0;t.d(r,{},{default:b})},14(e){var r=[];function t(e){for(var t=-1,n=0;n<r.length;n++)if(r[n].identifier===e){t=n;break}return t}function n(e,n){for(var a={},o=[],i=0;i<e.length;i++){var s=e[i],c=n.base?s[0]+n.base:s[0],u=a[c]||0,p="".concat(c," ").concat(u);a[c]=u+1;var l=t(p),d={css:s[1],media:s[2],sourceMap:s[3],supports:s[4],layer:s[5]};if(-1!==l)r[l].references++,r[l].updater(d);else{var m=function(e,r){var t=r.domAPI(r);return t.update(e),function(r){r?(r.css!==e.css||r.media!==e.media||r.sourceMap!==e.sourceMap||r.supports!==e.supports||r.layer!==e.layer)&&t.update(e=r):t.remove()}}(d,n);n.byIndex=i,r.splice(i,0,{identifier:p,updater:m,references:1})}o.push(p)}return o}e.exports=function(e,a){var o=n(e=e||[],a=a||{});return function(e){e=e||[];for(var i=0;i<o.length;i++){var s=t(o[i]);r[s].references--}for(var c=n(e,a),u=0;u<o.length;u++){var p=t(o[u]);0===r[p].references&&(r[p].updater(),r.splice(p,1))}o=c}}},16(e){var r={};e.exports=function(e,t){var n=function(e){if(void 0===r[e]){var t=document.querySelector(e);if(window.HTMLIFrameElement&&t instanceof window.HTMLIFrameElement)try{t=t.contentDocument.head}catch(e){t=null}r[e]=t}return r[e]}(e);if(!n)throw Error("Couldn't find a style target. This probably means that the value for the 'insert' parameter is invalid.");n.appendChild(t)}},18(e){e.exports=function(e){var r=document.createElement("style");return e.setAttributes(r,e.attributes),e.insert(r,e.options),r}},17(e,r,t){e.exports=function(e){var r=t.nc;r&&e.setAttribute("nonce",r)}},15(e){e.exports=function(e){if("u"<typeof document)return{update:function(){},remove:function(){}};var r=e.insertStyleElement(e);return{update:function(t){var n,a,o;n="",t.supports&&(n+="@supports (".concat(t.supports,") {")),t.media&&(n+="@media ".concat(t.media," {")),(a=void 0!==t.layer)&&(n+="@layer".concat(t.layer.length>0?" ".concat(t.layer):""," {")),n+=t.css,a&&(n+="}"),t.media&&(n+="}"),t.supports&&(n+="}"),(o=t.sourceMap)&&"u">typeof btoa&&(n+="\n/*# sourceMappingURL=data:application/json;base64,".concat(btoa(unescape(encodeURIComponent(JSON.stringify(o))))," */")),e.styleTagTransform(n,r,e.options)},remove:function(){var e;null===(e=r).parentNode||e.parentNode.removeChild(e)}}}},19(e){e.exports=function(e,r){if(r.styleSheet)r.styleSheet.cssText=e;else{for(;r.firstChild;)r.removeChild(r.firstChild);r.appendChild(document.createTextNode(e))}}}}]);