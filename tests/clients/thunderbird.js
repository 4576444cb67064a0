// What the tests ask of Thunderbird, by the same services that its windows use. thunderbird.py puts this before each call.
// Folders are named by their path below the account ("INBOX", "Kept/Deep"), messages by their subject.

const { MailServices } = ChromeUtils.importESModule("resource:///modules/MailServices.sys.mjs");
const { MsgHdrToMimeMessage } = ChromeUtils.importESModule("resource:///modules/gloda/MimeMessage.sys.mjs");
const { NetUtil } = ChromeUtils.importESModule("resource://gre/modules/NetUtil.sys.mjs");
const { setTimeout } = ChromeUtils.importESModule("resource://gre/modules/Timer.sys.mjs");

const WITHOUT_WINDOW = null;
const TLS = { plain: 0, starttls: 2, tls: 3 };
const PASSWORD_IN_CLEAR = 3;
const POLL = 20; // ms

async function until(condition) {
  for (;;) {
    const found = await condition();
    if (found) {
      return found;
    }
    await new Promise(resolve => setTimeout(resolve, POLL));
  }
}

// Wait for what `start` begins and ends by calling what it is given with a status (nsresult).
function ended(what, start) {
  return new Promise((resolve, reject) => {
    start(status =>
      Components.isSuccessCode(status) ? resolve() : reject(new Error(`${what}: 0x${status.toString(16)}`))
    );
  });
}

// What reports to an nsIUrlListener.
function ran(what, start) {
  return ended(what, end =>
    start({
      QueryInterface: ChromeUtils.generateQI(["nsIUrlListener"]),
      OnStartRunningUrl() {},
      OnStopRunningUrl: (url, status) => end(status),
    })
  );
}

function copyListener(end, others = {}) {
  return {
    QueryInterface: ChromeUtils.generateQI(["nsIMsgCopyServiceListener", "nsIMsgSendListener"]),
    onStartCopy() {},
    onProgress() {},
    setMessageKey() {},
    getMessageId() {},
    onStopCopy: end,
    ...others,
  };
}

function theServer(kind) {
  return MailServices.accounts.allServers.find(server => server.type == kind);
}

function folderAt(path, kind = "imap") {
  let folder = theServer(kind).rootFolder;
  for (const name of path.split("/")) {
    folder = folder.subFolders.find(each => each.name == name || (name == "INBOX" && each.flags & Ci.nsMsgFolderFlags.Inbox));
    if (!folder) {
      throw new Error(`there is no folder ${path}`);
    }
  }
  return folder;
}

// Wait until a folder has a message, without asking the server for it.
function messageIn(folder, subject) {
  return until(() => Array.from(folder.messages).find(message => message.mime2DecodedSubject == subject));
}

const thunderbird = {
  // Trust an authority (base64 of its DER), remember the password, and make the accounts.
  async setUp(authority, address, password, ports) {
    const certificates = Cc["@mozilla.org/security/x509certdb;1"].getService(Ci.nsIX509CertDB);
    certificates.addCertFromBase64(authority, "CT,C,C");
    MailServices.accounts.createLocalMailAccount();
    for (const [kind, port] of Object.entries(ports)) {
      const scheme = kind == "pop3" ? "mailbox" : kind;
      const login = Cc["@mozilla.org/login-manager/loginInfo;1"].createInstance(Ci.nsILoginInfo);
      login.init(`${scheme}://localhost`, null, `${scheme}://localhost`, address, password, "", "");
      await Services.logins.addLoginAsync(login);
      if (kind == "smtp") {
        const smtp = MailServices.outgoingServer.createServer("smtp");
        smtp.QueryInterface(Ci.nsISmtpServer);
        smtp.hostname = "localhost";
        smtp.port = port;
        smtp.username = address;
        smtp.authMethod = PASSWORD_IN_CLEAR;
        smtp.socketType = TLS.starttls;
        MailServices.outgoingServer.defaultServer = smtp;
        continue;
      }
      const server = MailServices.accounts.createIncomingServer(address, "localhost", kind);
      server.port = port;
      server.socketType = TLS.tls;
      server.authMethod = PASSWORD_IN_CLEAR;
      server.loginAtStartUp = false;
      server.doBiff = false;
      const account = MailServices.accounts.createAccount();
      account.incomingServer = server;
      const identity = MailServices.accounts.createIdentity();
      identity.email = address;
      identity.fullName = "A Person";
      identity.composeHtml = false;
      identity.fccFolderURI = `${server.serverURI}/Sent`;
      identity.draftsFolderURI = `${server.serverURI}/Drafts`;
      account.addIdentity(identity);
      MailServices.accounts.defaultAccount = account;
    }
  },

  // The paths of all folders that the server has told of.
  folders(kind) {
    const root = theServer(kind).rootFolder;
    return root.descendants.map(folder => decodeURIComponent(folder.URI.slice(root.URI.length + 1)));
  },

  async discover() {
    theServer("imap").performExpand(WITHOUT_WINDOW);
    await until(() => theServer("imap").rootFolder.numSubFolders > 0);
  },

  async open(path) {
    const folder = folderAt(path).QueryInterface(Ci.nsIMsgImapMailFolder);
    // The window may be opening it itself.
    await until(() => !folder.locked);
    await ran(`opening ${path}`, listener => folder.updateFolderWithListener(WITHOUT_WINDOW, listener));
  },

  // Subject and state of all messages.
  messages(path, kind) {
    return Array.from(folderAt(path, kind).messages, message => ({
      subject: message.mime2DecodedSubject,
      author: message.mime2DecodedAuthor,
      size: message.messageSize,
      read: message.isRead,
      flagged: message.isFlagged,
      tags: message.getStringProperty("keywords"),
    }));
  },

  // Show a message in the main window, as a click on it does; what the window then says.
  async show(path, subject) {
    const window = Services.wm.getMostRecentWindow("mail:3pane");
    const pane = await until(() => window.document.getElementById("tabmail")?.currentAbout3Pane);
    pane.displayFolder(folderAt(path));
    await until(() => pane.gDBView?.msgFolder == folderAt(path));
    pane.selectMessage(await messageIn(folderAt(path), subject));
    return until(() => {
      const shown = pane.messageBrowser.contentWindow;
      const text = shown.getMessagePaneBrowser?.()?.contentDocument?.body?.textContent;
      return shown.msgLoaded && shown.gMessage?.mime2DecodedSubject == subject && text;
    });
  },

  // The octets (in base64) of a file that comes with a message, as "Save" gets them.
  async attachment(path, subject, name) {
    const message = await messageIn(folderAt(path), subject);
    const mime = await new Promise(resolve => MsgHdrToMimeMessage(message, null, (_, found) => resolve(found), true));
    const uri = mime.allAttachments.find(each => each.name == name).url;
    let stream;
    await ended("fetching a part", end =>
      NetUtil.asyncFetch({ uri, loadUsingSystemPrincipal: true }, (found, status) => {
        stream = found;
        end(status);
      })
    );
    return btoa(NetUtil.readInputStreamToString(stream, stream.available()));
  },

  async mark(path, subject, what, on) {
    const folder = folderAt(path), messages = [await messageIn(folder, subject)];
    switch (what) {
      case "read":
        folder.markMessagesRead(messages, on);
        break;
      case "flagged":
        folder.markMessagesFlagged(messages, on);
        break;
      default:
        folder[on ? "addKeywordsToMessages" : "removeKeywordsFromMessages"](messages, what);
    }
  },

  async create(path) {
    const names = path.split("/"), name = names.pop();
    const parent = names.length ? folderAt(names.join("/")) : theServer("imap").rootFolder;
    parent.createSubfolder(name, WITHOUT_WINDOW);
    await until(() => parent.getChildNamed(name));
  },

  async rename(path, name) {
    const folder = folderAt(path), parent = folder.parent;
    folder.rename(name, WITHOUT_WINDOW);
    await until(() => parent.subFolders.some(each => each.name == name));
  },

  async transfer(path, subjects, target, moving) {
    const source = folderAt(path);
    const messages = await Promise.all(subjects.map(subject => messageIn(source, subject)));
    await ended(`from ${path} to ${target}`, end =>
      MailServices.copy.copyMessages(
        source, messages, folderAt(target), moving, copyListener(end), WITHOUT_WINDOW, false
      )
    );
  },

  // Into the folder Trash, as the key "Delete" does.
  async remove(path, subject) {
    const folder = folderAt(path), messages = [await messageIn(folder, subject)];
    await ended(`deleting from ${path}`, end =>
      folder.deleteMessages(messages, WITHOUT_WINDOW, false, true, copyListener(end), false)
    );
  },

  // Into the folder Trash; a dialogue asks.
  async removeFolder(path) {
    folderAt(path).deleteSelf(WITHOUT_WINDOW);
  },

  async emptyTrash() {
    await ran("emptying the trash", listener => folderAt("INBOX").emptyTrash(listener));
  },

  // Write a message and keep it as a draft, or send it and keep a copy.
  async write(to, subject, text, draft) {
    const account = MailServices.accounts.findAccountForServer(theServer("imap"));
    const fields = Cc["@mozilla.org/messengercompose/composefields;1"].createInstance(Ci.nsIMsgCompFields);
    fields.from = account.defaultIdentity.email;
    fields.to = to;
    fields.subject = subject;
    const mode = draft ? Ci.nsIMsgSend.nsMsgSaveAsDraft : Ci.nsIMsgSend.nsMsgDeliverNow;
    await ended("writing", end =>
      Cc["@mozilla.org/messengercompose/send;1"].createInstance(Ci.nsIMsgSend).createAndSendMessage(
        null, account.defaultIdentity, account.key, fields, false, false, mode, null, "text/plain", text, null, null,
        copyListener(end, {
          onStartSending() {},
          onSendProgress() {},
          onStatus() {},
          onGetDraftFolderURI() {},
          onSendNotPerformed() {},
          onTransportSecurityError() {},
          // It is stored after it is sent: only a failure ends here.
          onStopSending: (id, status) => Components.isSuccessCode(status) || end(status),
        }),
        "", null, Ci.nsIMsgCompType.New
      )
    );
  },

  async arrival(path, subject) {
    await messageIn(folderAt(path), subject);
  },

  async departure(path, subject) {
    const folder = folderAt(path);
    await until(() => !Array.from(folder.messages).some(message => message.mime2DecodedSubject == subject));
  },

  // Let the server search for messages with a word in their bodies; their subjects.
  async search(path, word) {
    const folder = folderAt(path), found = [];
    const session = Cc["@mozilla.org/messenger/searchSession;1"].createInstance(Ci.nsIMsgSearchSession);
    session.addScopeTerm(Ci.nsMsgSearchScope.onlineMail, folder);
    const term = session.createTerm();
    term.attrib = Ci.nsMsgSearchAttrib.Body;
    term.op = Ci.nsMsgSearchOp.Contains;
    const value = term.value;
    value.attrib = term.attrib;
    value.str = word;
    term.value = value;
    session.appendTerm(term);
    await ended("searching", end => {
      session.registerListener({
        onSearchHit: message => found.push(message.mime2DecodedSubject),
        onSearchDone: end,
        onNewSearch() {},
      });
      session.search(WITHOUT_WINDOW);
    });
    return found;
  },

  // Fetch the account's INBOX by POP3.
  async fetchByPop() {
    const server = theServer("pop3").QueryInterface(Ci.nsIPop3IncomingServer);
    server.leaveMessagesOnServer = true;
    await ran("POP3", listener => MailServices.pop3.GetNewMail(WITHOUT_WINDOW, listener, folderAt("INBOX", "pop3"), server));
  },
};
