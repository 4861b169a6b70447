// Sender forms: addresses as mailers have published them or were seen to write them, and their near misses, each of
// which is a sender of its own.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseAddress } from '../../src/address.ts'
import { type SenderForms, senderForms } from '../../src/greylist/sender.ts'

function forms(sender: string, recipient?: string): SenderForms {
  return senderForms(parseAddress(sender), recipient === undefined ? undefined : parseAddress(recipient))
}

function form(sender: string, recipient?: string): string {
  return forms(sender, recipient).form
}

/** Addresses of one sender, and the form that all of them have, without a recipient or with one that is not in them. */
const SENDERS: Array<[form: string, ...addresses: string[]]> = [
  // draft-levine-smtp-batv: key, day, hash. Others make it of nine digits (IronPort), or shorter.
  [
    'test@example.com',
    'test@example.com',
    'prvs=0891a9abd5=test@example.com',
    'PRVS=0881A9ABD5=Test@example.com',
    'prvs=test=0891a9abd5@example.com',
    'prvs=test/0891a9abd5@example.com',
    'prvs=0891a9abd5=test+tag@example.com',
  ],
  [
    'david.vrabel@citrix.com',
    'prvs=81176a5d5=david.vrabel@citrix.com',
    'prvs=80452ccb6=david.vrabel@citrix.com',
  ],
  ['graf@amazon.de', 'prvs=52269c73c=graf@amazon.de', 'prvs=4068eb2540=graf@amazon.de'],
  ['trading@sender.example', 'prvs=123=trading@sender.example', 'prvs=1234abcd=trading@sender.example'],
  ['79161234567@mail.ru', 'prvs=79161234567=0891a9abd5@mail.ru', 'prvs=0891a9abd5=79161234567@mail.ru'],
  // Barracuda.
  [
    'ryan.carmichael@dynetics.com',
    'btv1==34826e458e2==Ryan.Carmichael@dynetics.com',
    'btv1==474900d718c==Ryan.Carmichael@dynetics.com',
  ],
  // SparkPost and Message Systems.
  [
    'bounces-#@bounce.eventbrite.com',
    'msprvs1=20570G1NGbo_G=bounces-274689-4@bounce.eventbrite.com',
    'msprvs1=20571PA_4BrJs=bounces-274689-4@bounce.eventbrite.com',
    'bounces-274689-4@bounce.eventbrite.com',
  ],
  ['bounces-#@example.com', 'msprvs1=20676xgzi92p-=bounces-1898-1322@example.com'],
  // SRS, as Shevek and postsrsd have it; as it was seen from kernel.org and inumbo.net.
  [
    'srs0=#=#=example.org=alice@example.com',
    'SRS0=HHH=TT=example.org=alice@example.com',
    'SRS0+HHH=TT=example.org=alice@example.com',
    'SRS0-HHH=TT=example.org=alice@example.com',
    'srs0=44ldt=ix=example.org=alice+tag@example.com',
  ],
  [
    'srs0=#=#=linaro.org=krzysztof.kozlowski@kernel.org',
    'SRS0=G+Mr=LB=linaro.org=krzysztof.kozlowski@kernel.org',
    'SRS0=+Cc8=3E=linaro.org=krzysztof.kozlowski@kernel.org',
    'SRS0=m/gl=EP=linaro.org=krzysztof.kozlowski@kernel.org',
  ],
  ['srs0=#=#=robh_at_kernel.org=rob@kernel.org', 'SRS0=3R/A=DR=robh_at_kernel.org=rob@kernel.org'],
  [
    'srs0=#=#=bounce.vates.tech=bounce-md_#.v1-#@srs-se1.protection.inumbo.net',
    'SRS0=pxZo=OX=bounce.vates.tech=bounce-md_30504962.669fdf8f.v1-3735091ab57244a69d6a9754f20f9e49@srs-se1.protection.inumbo.net',
    'SRS0=+ad7=2D=bounce.vates.tech=bounce-md_30504962.687fd366.v1-ad5ab1e21acf480e9a26de76f4bee34f@srs-se1.protection.inumbo.net',
    'SRS0=w6Y+=LR=bounce.vates.tech=bounce-md_30504962.66192a35.v1-82de3dd6d8ef4c49b3ea33e9723b2d06@srs-se1.protection.inumbo.net',
  ],
  [
    'srs1=#=example.com==#=#=example.org=alice@example.net',
    'SRS1=HHH=example.com==HHH=TT=example.org=alice@example.net',
    'SRS1+GGG=example.com==AbC=DE=example.org=alice@example.net',
    'SRS1-GGG=example.com=+AbC=DE=example.org=alice@example.net',
    'SRS1=GGG=example.com=-AbC=DE=example.org=alice@example.net',
  ],
  [
    'srs1=#=otherdomain.com==opaque@example.com',
    'SRS1=chaI=otherdomain.com==opaque+string@example.com',
    'SRS1=X=otherdomain.com==opaque+string@example.com',
  ],
  // Microsoft 365: short, and with the mailbox that forwards.
  [
    'bounces@amdcloud.onmicrosoft.com',
    'bounces+SRS=HnE87=C7@amdcloud.onmicrosoft.com',
    'bounces+SRS=DmMzc=V3@amdcloud.onmicrosoft.com',
  ],
  [
    'owner+srs=#=#=notify.bank.example=notices@forwarder.test',
    'owner+SRS=hash=DM=notify.bank.example=notices@forwarder.test',
    'owner+SRS=qVbic=PZ=notify.bank.example=notices@forwarder.test',
  ],
  // Wrappers within wrappers.
  [
    'srs0=#=#=example.org=joe@example.com',
    'prvs=0891a9abd5=SRS0=HHH=TT=example.org=joe@example.com',
    'btv1==34826e458e2==SRS0=HHH=TT=example.org=prvs=0881a9abd5=joe@example.com',
  ],
  // Detail: the user's own, or what a list or service hangs on.
  ['joe@example.com', 'joe+news@example.com', 'joe+@example.com', 'joe+a+b=c.org@example.com'],
  [
    'kasan-dev@googlegroups.com',
    'kasan-dev+bncBDW2JDUY5AORBN7BZDEQMGQEPTPAUVA@googlegroups.com',
    'kasan-dev+bncBC447XVYUEMRB5XBX6BQMGQED43SS2I@googlegroups.com',
  ],
  [
    'bounce@lists.cip-project.org',
    'bounce+64575+143059+4520527+8129362@lists.cip-project.org',
    'bounce+64575+24152+4520527+8129362@lists.cip-project.org',
  ],
  // Mailman, SendGrid, Mailgun.
  [
    'qemu-devel-bounces@nongnu.org',
    'qemu-devel-bounces@nongnu.org',
    'qemu-devel-bounces+lists+qemu-devel=lfdr.de@nongnu.org',
    'qemu-devel-bounces+joe=example.com@nongnu.org',
  ],
  [
    'bounces@em1847.toolhouseai.com',
    'bounces+45329440-6cd3-emil.skogsund=gmail.com@em1847.toolhouseai.com',
    'bounces+45329440-bad5-max=block65.com@em1847.toolhouseai.com',
  ],
  ['bounce@bounce.example', 'bounce+585af8.1a95e6-x=y.com@bounce.example'],
  // ezmlm.
  [
    'php-general-return-#-*@lists.php.net',
    'php-general-return-1234-joecool=example.com@lists.php.net',
    'php-general-return-1235-joecool=example.com@lists.php.net',
    'php-general-return-7-jean-pierre=a.b.example.org@lists.php.net',
  ],
  ['list-return-#-@example.org', 'list-return-42-@example.org', 'list-return-4711-@example.org'],
  // Debian's lists, majordomo's way, LISTSERV.
  [
    'bounce-nbd=*@other.debian.org',
    'bounce-nbd=lists+nbd=lfdr.de@other.debian.org',
    'bounce-nbd=joe=example.com@other.debian.org',
  ],
  [
    'owner-list-*@example.org',
    'owner-list-joe=example.com@example.org',
    'owner-list-ann=a.xn--p1ai@example.org',
  ],
  [
    'owner-list*@listserv.example.edu',
    'owner-LIST*user**example*-com@listserv.example.edu',
    'owner-LIST*jo*-ann**mail*-example*-org@listserv.example.edu',
  ],
  // Yahoo Groups.
  [
    'sentto-#-*@returns.groups.yahoo.com',
    'sentto-76513067-101-1314862564-3159559896=vtext.com@returns.groups.yahoo.com',
    'sentto-76513067-102-1314869999-joe=example.com@returns.groups.yahoo.com',
  ],
  // Mailchimp and Mandrill.
  [
    'bounce-mc.us11_#-*@rsgsv.net',
    'bounce-mc.us11_46973437.796437-romain.calascibetta=gmail.com@mail148.suw18.rsgsv.net',
    'bounce-mc.us11_46973437.796499-joe=example.com@mail12.atl31.rsgsv.net',
    'bounce-mc.us11_46973437.796499-joe=example.com@mail228.sea91.rsgsv.net',
  ],
  [
    'bounce-mc.us2_#@mcdlv.net',
    'bounce-mc.us2_146412474.3551972-e3616ba718@mail150.suw14.mcdlv.net',
    'bounce-mc.us2_123456789.17649072-1234567899@mail209.sea22.mcdlv.net',
    'bounce-mc.us2_87409022.165552304726566322-999977536528@mail201.wdc02.mcdlv.net',
    'bounce-mc.us2_14846347.5234176-abcdeffedc@mail60.suw91.mcdlv.net',
  ],
  [
    'bounce-md_#.v1-#@mandrillapp.com',
    'bounce-md_31165128.651ba259.v1-5b4056df89a0489896e58a7a87a57db6@mandrillapp.com',
    'bounce-md_30293850.542acdc7.v1-f5861d776ab64c88a828bacb6a34ecca@mandrillapp.com',
    'bounce-md_30293850.54235917.v1-f5861d776ab64c88a828bacb6a34ecca@mandrillapp.com',
  ],
  // Brevo, ActiveCampaign, GetResponse, a bank.
  [
    'bounces-#@d.sender-sib.com',
    'bounces-470616010-2104611724@gw.d.sender-sib.com',
    'bounces-91910830-4256376833@gw.d.sender-sib.com',
    'bounces-90089626-3818328972@ka.d.sender-sib.com',
  ],
  [
    'bounces-#-*@d.sender-sib.com',
    'bounces-133768474-support=example.com@gt.d.sender-sib.com',
    'bounces-49334062-xrpl=malingo.fr@gd.d.sender-sib.com',
  ],
  ['bounces-*@d.sender-sib.com', 'bounces-haeu5-hr=dharmakit.com@ke.d.sender-sib.com'],
  [
    'bounce-#-*@acemsrvg.com',
    'bounce-411654-17-29016-luiz.inacio.correa=gmail.com@s4.acemsrvg.com',
    'bounce-411654-18-29016-joe=example.com@s4.acemsrvg.com',
    'bounce-411654-18-29016-joe=example.com@s18.avl4.acemsrvg.com',
  ],
  ['bounce-#@bounce.gr-mail5.com', 'bounce-197450001@bounce.gr-mail5.com', 'bounce-7@bounce.gr-mail5.com'],
  [
    'bounce-#@myupdates2.standardbank.co.za',
    'bounce-330458969-1B@myupdates2.standardbank.co.za',
    'bounce-330458970-2f@myupdates2.standardbank.co.za',
  ],
  // Salesforce and its Marketing Cloud.
  [
    'bounce-#_html-#@bounce.communications.tawkify.com',
    'bounce-152_HTML-52698124-186546-100026760-15004@bounce.communications.tawkify.com',
    'bounce-6_HTML-8064667-17538-536006699-585226@bounce.communications.tawkify.com',
  ],
  [
    'support=akamai.com__#@bnc.salesforce.com',
    'support=akamai.com__9m4vlv27x6v0rxwe@mmh2xurvokdh.a-hu5amac.na63.bnc.salesforce.com',
    'support=akamai.com__0-1r12zvjmnf8rqu.l9azxrxo3x5g2pzm@xqfk2ane5qjq38ec.gpawymg.8d-3trx3eag.um8.bnc.salesforce.com',
    'support=akamai.com__4bomkxek0lmkirmo.ppcj5ixvnroihctd@3x3zu9ivl8zesmai.jml72.41-5saieaq.usa788.bnc.salesforce.com',
  ],
  [
    'privacy.no-reply=cs.adidas.com__#@bnc.salesforce.com',
    'privacy.no-reply=cs.adidas.com__0-ytq34e51q6cz9y@z7n51vfvh8dfh.2-mjs8eam.deu132.bnc.salesforce.com',
  ],
  [
    'support=acme.example__#@bnc.salesforce.example',
    'support=acme.example__x9k2@r4nd0m.a-abc.na63.bnc.salesforce.example',
    'support=acme.example__abcd@random.a-abc.na63.bnc.salesforce.example',
  ],
  [
    'bounce-#_html-#@bounce.exacttarget.com',
    'bounce-10_HTML-377289529-3212801-7278416-10038@bounce.s7.exacttarget.com',
    'bounce-10_HTML-377289530-3212802-7278416-10038@bounce.s10.exacttarget.com',
  ],
  // Amazon SES, then and now, and Amazon itself.
  [
    '#@amazonses.com',
    '01000173532fd7b1-e7c790f3-b583-4e40-9958-898174559fed-000000@amazonses.com',
    '0100016abbcb13b1-a1f70846-1d8c-4212-8e74-2b9be8c32ce7-000000@amazonses.com',
    '0100018912345678-12345678-1234-1234-1234-123456789012-000001@amazonses.com',
  ],
  [
    '#@email-bounces.amazonses.com',
    '00000331b8b1d648-b8302192-701f-124d-a1d5-d268912677de-135246@email-bounces.amazonses.com',
  ],
  [
    '#@bounces.amazon.com',
    '2017062818244549a62a320d354447818b28158020p0na-C19WUOQGH538F3@bounces.amazon.com',
    '20190224101108c7052c9bcc7f4abb90251e862cd0p0na@bounces.amazon.com',
  ],
  [
    '#@bounces.amazon.co.jp',
    '202412060151061f9c3eef447347cdb925ff7a9220p0fe-C5CGKT47C4OV7@bounces.amazon.co.jp',
    '202412060151061f9c3eef447347cdb925ff7a9220p0fe-CABCDEFGHIJKL7@bounces.amazon.co.jp',
  ],
  [
    '#@public.govdelivery.com',
    '01000195d55e1c7b-bfc8be60-6348-4cfd-a496-41bbea9170ec-000000@bounce-1.public.govdelivery.com',
    '01000196d55e1c7b-cfc8be60-7348-4cfd-b496-51bbea9170ec-000000@bounce-2.public.govdelivery.com',
  ],
  // Emarsys.
  [
    'e3us-#@us.emarsys.net',
    'e3us-1623334985760-1d71a7II5eaccb@us.emarsys.net',
    'e3us-1623334990112-1d71a8II6eaccc@us.emarsys.net',
  ],
  ['e3-#@emarsys.net', 'e3-1251596693647-309a5II8ebbe2@e3.emarsys.net'],
  // Mailjet, below its domain with the customer's account, and below a customer's.
  [
    '#@a1189921.mailjet.com',
    '4b5c6132.AVMAACV-6GkAAckX6tYAAM5Eez0AAYCsxc8AndYRABIoIQBlCbSN@a1189921.bnc3.mailjet.com',
    'da7d8474.AW4AABZcwxMAAcju9ioAAM5EgHIAAYCsxc8AnUiJABIoIQBkSyo6@a1189921.bnc3.mailjet.com',
    'abcdefde.AWkAAAwt04UAAcjYpAYAAM5Eez0AAYCsb78AnNMcABIoIQBj0Ayd@a1189921.bnc3.mailjet.com',
  ],
  [
    '#@a3331929.mailjet.com',
    '40e8637d.AVIAAIQjDoMAAAAAAAAAA-TQl7QAAYKJE04AAAAAADLXWQBpJ5Pi@a3331929.bnc3.mailjet.com',
    '564e67a1.AMcAAISLaJ4AAAAAAAAAA-TQl7QAAYKJE04AAAAAADLXWQBpJ5Tk@a3331929.bnc3.mailjet.com',
  ],
  [
    '#@mail.socialdeal.nl',
    '0bd38928.AU4AABDLAGUAAAAncCAAAMl9Zn4AAAAAIKYAAKZDABAoMwBkHU7T@bnc3.mail.socialdeal.nl',
    'deadbeef.AU4AABDLAGUAAAAncCAAAMl9Zn4AAAAAIKYAAKZDABAoMwBkHU8_@bnc3.mail.socialdeal.nl',
  ],
  // HubSpot, from its own hosts and as a customer, with the recipient or without.
  [
    '#@hubspotemail.net',
    '1axca06p9dhadejfcj89bda3kxmimwrspi50nd@bf01x.hubspotemail.net',
    '1axbzngfdqrw3qttkekmmouflkgrjnzptdk8su@bf05.eu1.hubspotemail.net',
    '1axb995suxbzfizn5o1l84fareadrinuj45d9o@bf56x.hubspotemail.net',
  ],
  [
    '#-*@hubspotstarter.net',
    '1axbik738umw0tsuqa83bgykly9x2dznev2xq4-reneheinzl=gmail.com@bf01.eu1.hubspotstarter.net',
    '1axcabcdefghijklmnopqrstuvwxyzabcdefgh-joe=example.com@bf02.eu1.hubspotstarter.net',
  ],
  [
    '#-*@45160067m.email.ine.com',
    '1axbj19of276gl4u1me7u8w3ev1ohfe2yi1c6s-asdm2534=gmail.com@45160067m.email.ine.com',
  ],
  // Epsilon, Booking.com, Episerver.
  [
    'bo-#@b.e.latimes.com',
    'bo-b65ymr9bfbugyhauy2x7bbykuhtky7@b.e.latimes.com',
    'bo-bx6rw3raupta74au6m0rxbysph09qe@b.e.latimes.com',
    'bo-bkxqwzr3vtplmdhgqwrbn7ckslzp4q@b.e.latimes.com',
  ],
  [
    '5958915259-#@mchat.booking.com',
    '5958915259-5sohk3qnf9yihbv5y31kzi0p5.2stir9myhhtxl7m69m0y4jiuq@mchat.booking.com',
    '5958915259-4FE2ABB1D79CODZ06VA3ADZ06.90FGCRE7B8T1145ZUYPVXET19@mchat.booking.com',
    '5958915259-abcdefghijklmnopqrstuvwxy.abcdefghijklmnopqrstuvwx7@mchat.booking.com',
  ],
  [
    'g-#@news.esv.info',
    'g-38107180020-21002-3801464697-1690311653847@news.esv.info',
    'g-38107180020-21003-3801464698-1690311999999@news.esv.info',
  ],
  // A mailer that is forwarded.
  [
    'srs0=#=#=rsgsv.net=bounce-mc.us19_#@bounce.secureserver.net',
    'srs0=xnsq=aa=mail230.atl221.rsgsv.net=bounce-mc.us19_135692642.17568503-5ffc978964@bounce.secureserver.net',
    'srs0=abcd=bb=mail12.suw13.rsgsv.net=bounce-mc.us19_135692642.17568504-6ffc978965@bounce.secureserver.net',
  ],
  // Google.
  [
    '#@scoutcamp.bounces.google.com',
    '3Tcu-VwgTBKIPQ-TGRNaCEEQWPVU.IQQING.EQOKPHQUUF-EI.EQO@scoutcamp.bounces.google.com',
    '3yGzpVgwKCQUfsi3-stwjuq3lttlqj.htrgjww381jglrfnq.htr@scoutcamp.bounces.google.com',
  ],
  // LinkedIn, Twitter, Constant Contact, Silverpop, Marketo.
  ['m-#@bounce.linkedin.com', 'm-j7q2rwb8aca3ozj7n0uy4hluj7tlsdydo5j1tw9dvhagtr25o3b@bounce.linkedin.com'],
  [
    '*@bounce.twitter.com',
    'b05372b0afdtrann.nguyenn.0610=gmail.com@bounce.twitter.com',
    'b013614b853twitter=yingtongli.me@bounce.twitter.com',
  ],
  [
    '#_1103304917473_#@in.constantcontact.com',
    'a1vdek4eqtvi/ni3ked62sg==_1103304917473_t+iblfa0ee+fkpowpmt8pw==@in.constantcontact.com',
    'AigXeKlyIRLG+DvWkRMsGUA==_1103304917473_sUQcUKVBEeynm/oWPlvDBA==@in.constantcontact.com',
    'Ap+Iao+8tQk6GgWD4E/IMCg==_1103304917473_MPP2bPipEe2HevoWPpr49g==@in.constantcontact.com',
  ],
  ['#@in.constantcontact.com', 'An4mmwbiyQL2tuyJQqvfBxw==@in.constantcontact.com'],
  [
    'v-#@bounce.mkt3534.com',
    'v-loebil_bgedmglacb_cgfdlgfn_cgfdlgfn_a@bounce.mkt3534.com',
    'v-mhmmap_baninmiagij_ilhmhfib_ilhmgngh_a@bounce.mkt3534.com',
    'v-biheobc_begnlldjf_icanamoe_icanamoe_a-1@bounce.mkt3534.com',
    'v-cdammaf_fgfpelnc_ighfmel_ighfmel_a-1@bounce.mkt3534.com',
  ],
  [
    '#-fms-#@em.oreilly.com',
    '107-FMS-070.0.8007.0.0.4076.9.8319249@em.oreilly.com',
    '107-FMS-070.0.16516.0.0.5375.9.10954819@em.oreilly.com',
  ],
  // Ids without a word to tell them by, and numbers with one.
  ['#@example.com', '20260805021027b8b6a74587d94895a05c6c3145@example.com'],
  [
    'reply-#@example.com',
    'reply-123e4567-e89b-12d3-a456-426614174000@example.com',
    'reply-c0a80121-7ac0-4e1c-9c1d-0a1b2c3d4e5f-17@example.com',
  ],
  ['notice-#@example.com', 'notice-2024010112000012345@example.com', 'notice-9f86d081884c7d65@example.com'],
  ['bounces#@example.com', 'bounces2@example.com', 'bounces12345@example.com'],
]

test('the form is the same for all addresses of one sender', () => {
  for (const [expected, ...addresses] of SENDERS) {
    for (const address of addresses) {
      assert.equal(form(address), expected, address)
      assert.equal(form(address, 'postmaster@elsewhere.test'), expected, address)
    }
  }
})

test('a form has itself for a form', () => {
  for (const [expected] of SENDERS) assert.equal(form(expected), expected)
})

test('the recipient is taken out wherever it stands and however its @ is spelled', () => {
  const cases: Array<[form: string, ...pairs: Array<[sender: string, recipient: string]>]> = [
    [
      '*@example.net',
      ['user=example.com@example.net', 'user@example.com'],
      ['user#example.com@example.net', 'user@example.com'],
      ['user%example.com@example.net', 'user@example.com'],
      ['user_at_example.com@example.net', 'user@example.com'],
      ['Jean-Pierre=Example.Org@example.net', 'jean-pierre@example.org'],
      ['o=brien=example.com@example.net', 'o=brien@example.com'],
    ],
    [
      'owner-list-*@example.net',
      ['owner-list-user=example.com@example.net', 'user@example.com'],
      ['owner-list-jean-pierre=example.org@example.net', 'jean-pierre@example.org'],
      ['owner-list-user%example.com@example.net', 'user@example.com'],
      ['owner-list-user_at_example.com@example.net', 'user@example.com'],
      ['owner-list-user7-at-example.com@example.net', 'user7@example.com'],
    ],
    // Of two, the first one is enough.
    ['owner-*@example.net', ['owner-user=example.com_user=example.com@example.net', 'user@example.com']],
    [
      'list-bounces@example.net',
      ['list-bounces+user=example.com@example.net', 'user@example.com'],
      ['list-bounces+jo+tag=example.com@example.net', 'jo+tag@example.com'],
    ],
    ['bounce-nbd=*@other.debian.org', ['bounce-nbd=lists+nbd=lfdr.de@other.debian.org', 'lists+nbd@lfdr.de']],
    ['news-*_#@example.net', ['news-user=example.com_123456@example.net', 'user@example.com']],
    [
      '#-abcdefghijklmnop-*@bounce.twitter.com',
      ['123456789-abcdefghijklmnop-johndoe===example.com@bounce.twitter.com', 'johndoe@example.com'],
    ],
    [
      'list-return-warn-#-*@example.net',
      ['list-return-warn-1234567890.abcdefghijklmnopabcd-joe=example.com@example.net', 'joe@example.com'],
    ],
    // Areas 51 and 52 are two lists.
    ['area-51-*@example.net', ['area-51-joe=example.com@example.net', 'joe@example.com']],
  ]
  for (const [expected, ...pairs] of cases) {
    for (const [sender, recipient] of pairs) {
      assert.equal(form(sender, recipient), expected, `${sender} to ${recipient}`)
    }
  }
})

test('what only resembles the recipient stays', () => {
  const cases: Array<[sender: string, recipient: string]> = [
    ['user=example.com@example.net', 'user@example.org'],
    ['superuser%example.com@example.net', 'user@example.com'],
    ['user%example.com.au@example.net', 'user@example.com'],
    ['user%example.community@example.net', 'user@example.com'],
    ['joe-smith_at_example.net@gateway.test', 'ann@example.net'],
    ['user@example.com', 'user@example.com'],
    ['userexample.com@example.net', 'user@example.com'],
    ['user-example.com@example.net', 'user@example.com'],
    ['=example.com@example.net', '@example.com'],
    ['user=@example.net', 'user'],
  ]
  for (const [sender, recipient] of cases) assert.equal(form(sender, recipient), sender)
})

/** Addresses that are what they are, and none another's. */
const SINGLE = [
  'joe@example.com',
  'joe@example.net',
  'joe@mail.example.com',
  'a.b@example.com',
  'ab@example.com',
  'a-b@example.com',
  'a_b@example.com',
  'first-last@example.com',
  'user2023@example.com',
  'user2024@example.com',
  'info365@example.com',
  'info-365@example.com',
  'decade1@example.com',
  'decade2@example.com',
  // Words and names that look like hexadecimal numbers, some with years and dates.
  'cafe@example.com',
  'facade@example.com',
  'deadbeef@example.com',
  'deadbeefdeadbeef@example.com',
  'cafe2024@example.com',
  'becca19850412@example.com',
  'becca.1985.04.12@example.com',
  'ada-1985-04-12@example.com',
  'ed79161234567890@example.com',
  'web2print4business2020shop@example.com',
  'the24hourcomputerrepair4youshop2020@example.com',
  'krzysztofbrzeczyszczykiewicz1990@example.com',
  'alphafold3pytorchlightninghydra@example.com',
  'r2d2@example.com',
  'c3po4u2@example.com',
  'a1b2c3d4e5@example.com',
  // An account number, a telephone number and a QQ number, alone and beside other words.
  '79161234567@mail.ru',
  '79161234568@mail.ru',
  '+79161234567@mail.ru',
  'ivan79161234567@mail.ru',
  'ivan-79161234567@mail.ru',
  '06.12.34.56.78@orange.example',
  'fax-06-12-34-56-78@example.com',
  '+49-30-1234-56-78@example.com',
  '123456789@qq.com',
  '123456780@qq.com',
  '110101199003071234@qq.com',
  '1234567890123456@example.com',
  '12345678901234567890123456789012@example.com',
  '10.0.0.1@example.com',
  // Relays that give a person another address, of up to fifteen characters.
  'dpdcnf87nu@privaterelay.appleid.com',
  'k7x1v0qk0v8gv7p@marketplace.amazon.com',
  '43ad1d549beae3625950@members.ebay.com',
  '74684c24ca049e0c2e13@members.ebay.com',
  '2084fd1bc5d8935cb072@members.ebay.co.uk',
  '7066d7539fdf30539e2e43ba5fd21606@reply.craigslist.org',
  'ebd7905b045336b698542364bb65fac2@reply.craigslist.org',
  'c5e2fd43-d292-4c90-9d1f-74ff3436329a@anonaddy.me',
  '5b0bae33-0d7b-4297-b3a5-f6294b4bfd39@anonaddy.me',
  // X.400 and X.500 names, as Exchange and MIXER gateways write them.
  'imceaex-_o=org_ou=first+20group_cn=recipients_cn=joe@example.com',
  'imceaex-_o=org_ou=first+20group_cn=recipients_cn=ann@example.com',
  'imceaex-_o=exchangelabs_ou=exchange+20administrative+20group+20+28fydibohf23spdlt+29_cn=recipients_cn=8700893173b143b09154a79f4d32e10d-joe@namprd11.prod.outlook.com',
  'imceaex-_o=exchangelabs_ou=exchange+20administrative+20group+20+28fydibohf23spdlt+29_cn=recipients_cn=8700893173b143b09154a79f4d32e10e-joe@namprd11.prod.outlook.com',
  'imceaex-_o=mms_ou=exchange+20administrative+20group+20+28fydibohf23spdlt+29_cn=recipients_cn=user6ed4e168-addd-4b03-95f5-b9c9a421957358d@example.com',
  'imceax400-c=us+3ba=+20+3bp=ticketmaster+3bo=pasadena+3bdda+3asmtp=kazam+40citysearch+2ecom+3b@example.com',
  'imceax400-c=us+3ba=+20+3bp=ticketmaster+3bo=pasadena+3bdda+3asmtp=ann+40citysearch+2ecom+3b@example.com',
  'imceasmtp-joe+40acme+2ecom@example.com',
  'imceasmtp-ann+40acme+2ecom@example.com',
  'imceafax-somebody+402505555555@example.com',
  'imceafax-somebody+402505555556@example.com',
  'imceainvalid-ooi@namprd11.prod.outlook.com',
  '/g=joe/s=smith/o=acme/prmd=org/admd=+20/c=us/@gateway.test',
  '/g=joe/s=smith/o=acme/prmd=com/admd=+20/c=us/@gateway.test',
  '/pn=joe.1234567890123456/o=acme/c=us/@gateway.test',
  'cn=joe+20smith/o=acme@gateway.test',
  'cn=joe+20jones/o=acme@gateway.test',
  // Telephone numbers of gateways.
  'fax=+12027653000@faxgw.test',
  'fax=+12027653001@faxgw.test',
  'fax=+3940226338/t33s=6377@faxgw.test',
  'fax=+3940226338/t33s=6378@faxgw.test',
  'wappush=+4712345678/type=plmn@ppg.test',
  '+573202355840/type=plmn@mms.test',
  '+573202355841/type=plmn@mms.test',
  'fax/+4930123456@gateway.test',
  'sms+491701234567@gateway.test',
  'sms+491701234568@gateway.test',
  // A = within a name, and addresses that gateways have made of others.
  'o=brien@example.com',
  'jean-pierre=dupont@example.com',
  'jean=pierre=dupont@example.com',
  'joe=acme.com@forwarder.test',
  'ann=acme.com@forwarder.test',
  'jean-pierre=acme.com@forwarder.test',
  'jean-paul=acme.com@forwarder.test',
  'admin=arbe.org.uk@bounces.elasticemail.net',
  'info=arbe.org.uk@bounces.elasticemail.net',
  'jean-paul=arbe.org.uk@bounces.elasticemail.net',
  'news-joe%acme.com@gateway.test',
  'john_smith_at_acme.com@gateway.test',
  'jane_smith_at_acme.com@gateway.test',
  // Addresses that look like a wrapper.
  'prvs@example.com',
  'prvs=joe@example.com',
  'prvs=joe=smith@example.com',
  'prvs=0891a9abd5=@example.com',
  'prvs0891a9abd5=joe@example.com',
  'xprvs=0891a9abd5=joe@example.com',
  'btv1@example.com',
  'btv1==34826e458e2==@example.com',
  'btv1====joe@example.com',
  'btv1=34826e458e2=joe@example.com',
  'msprvs1@example.com',
  'msprvs1==joe@example.com',
  'srs0@example.com',
  'srs1@example.com',
  'srs0x=hhh=tt=example.org=alice@example.com',
  'srs0=hhh=tt=example@example.com',
  'srs0=hhh=t9=example.org=alice@example.com',
  'srs0=hhh=ttt=example.org=alice@example.com',
  'srs2=hhh=tt=example.org=alice@example.com',
  'xsrs0=hhh=tt=example.org=alice@example.com',
  // Addresses that look like a bounce address.
  'bounces@example.com',
  'bounce@example.com',
  'bounces-uk@example.com',
  'bounces-us1@example.com',
  'bounces-us2@example.com',
  'bounce-3com@example.com',
  'bounce-1and1@example.com',
  'bouncer-42@example.com',
  'bouncer-43@example.com',
  'news@bounce.example.com',
  'shop@bounce.example.com',
  'user2024@bounce.example.com',
  '12345678@bounce.com',
  '12345679@bounce.com',
  'returns-2023@example.com',
  'returns-2024@example.com',
  'tax-return-2024@example.com',
  'team-7-bounces@example.com',
  'team-8-bounces@example.com',
  // Nearly a mailer's.
  'e3us-1623334985760@example.com',
  '1axel@example.com',
  '1axbzngfdqrw@example.com',
  'g-38107180020-21002@example.com',
  'g-1985-1234-5678-9012@example.com',
  'v-biheobc_begnlldjf_icanamoe_icanamoe_a-1@example.com',
  'b013614b853twitter=yingtongli.me@example.com',
  'support=acme.com__2024@example.com',
  // A mailbox whose domain looks made up.
  'admin@tenant1.onmicrosoft.com',
  'admin@tenant2.onmicrosoft.com',
  'joe@mail12.atl31.rsgsv.net',
  'root@web12.hoster.example',
  'joe=acme.com@mail1.forwarder.test',
  'joe=acme.com@mail2.forwarder.test',
  'bounces@em1.example.com',
  'bounces@em2.example.com',
  // A name in the letters in which Silverpop spells numbers, and a name of Silverpop's own.
  'v-maojhn_pdojdhjapp_ifjcpaoc_ifjcpaoc_a@example.com',
  'v-joe@bounce.example.com',
  // Quoted local parts are not examined.
  '"a+b c"@example.com',
  '"prvs=0891a9abd5=a b"@example.com',
  'é@example.com',
  'postmaster',
  '12345',
  '@example.com',
  '@m3kw2wvrgufz5godrsrytgd7.apphosting.bounces.google.com',
  '',
]

test('the form leaves alone what is no more than a name', () => {
  for (const address of SINGLE) assert.equal(form(address), address)
  assert.equal(new Set(SINGLE).size, SINGLE.length)
})

test('two senders do not share a form', () => {
  const cases: Array<[one: string, other: string]> = [
    ['prvs=0891a9abd5=joe@example.com', 'prvs=0891a9abd5=ann@example.com'],
    ['prvs=0891a9abd5=joe@example.com', 'prvs=0891a9abd5=joe@example.net'],
    ['SRS0=HHH=TT=example.org=joe@fwd.test', 'SRS0=HHH=TT=example.net=joe@fwd.test'],
    ['SRS0=HHH=TT=example.org=joe@fwd.test', 'SRS0=HHH=TT=example.org=ann@fwd.test'],
    ['SRS0=HHH=TT=example.org=joe@fwd.test', 'SRS0=HHH=TT=example.org=joe@fwd2.test'],
    ['SRS0=HHH=TT=example.org=joe@fwd.test', 'joe@example.org'],
    ['SRS0=HHH=TT=fwd.test=joe@fwd.test', 'joe@fwd.test'],
    ['SRS1=HHH=a.test==HHH=TT=b.test=joe@c.test', 'SRS1=HHH=d.test==HHH=TT=b.test=joe@c.test'],
    ['me+SRS=HHH=TT=a.test=joe@c.test', 'me+SRS=HHH=TT=b.test=joe@c.test'],
    ['me+SRS=HHH=TT=a.test=joe@c.test', 'you+SRS=HHH=TT=a.test=joe@c.test'],
    ['joe+tag@example.com', 'joey+tag@example.com'],
    ['one-bounces+joe=example.com@lists.test', 'two-bounces+joe=example.com@lists.test'],
    ['one-return-1-joe=example.com@lists.test', 'two-return-1-joe=example.com@lists.test'],
    ['area-51-return-1-joe=example.com@lists.test', 'area-52-return-1-joe=example.com@lists.test'],
    ['area-51-joe=example.com@lists.test', 'area-52-joe=example.com@lists.test'],
    ['bounce-nbd=joe=example.com@lists.test', 'bounce-x11=joe=example.com@lists.test'],
    ['bounce-12345@example.com', 'bounces-12345@example.com'],
    ['bounce-mc.us1_123.456-789@example.com', 'bounce-mc.us2_123.456-789@example.com'],
    // Customers below their mailer's domain.
    [
      '4b5c6132.AVMAACV-6GkAAckX6tYAAM5Eez0AAYCsxc8AndYRABIoIQBlCbSN@a1189921.bnc3.mailjet.com',
      '4b5c6132.AVMAACV-6GkAAckX6tYAAM5Eez0AAYCsxc8AndYRABIoIQBlCbSN@a1189922.bnc3.mailjet.com',
    ],
    [
      '3ZX4CXwkBABQcij4u55ybu992x.08805yecybw87dy7d.w86@m3kw2wvrgufz5godrsrytgd7.apphosting.bounces.google.com',
      '3ZX4CXwkBABQcij4u55ybu992x.08805yecybw87dy7d.w86@m3kw2wvrgufz5godrsrytgd8.apphosting.bounces.google.com',
    ],
    ['bounce-12345@em1847.mailer.test', 'bounce-12345@em1848.mailer.test'],
    ['bounce-12345@acme.mailer.test', 'bounce-12345@bolt.mailer.test'],
    ['bounce-12345@mail1.acme.mailer.test', 'bounce-12345@mail1.bolt.mailer.test'],
    ['bounce-12345@mail1.one.test', 'bounce-12345@mail1.two.test'],
    // A suffix of the list's private part, and one of the other.
    ['bounce-12345@s1.github.io', 'bounce-12345@s2.github.io'],
    ['bounce-12345@mail1.s1.github.io', 'bounce-12345@mail1.s2.github.io'],
    ['bounce-12345@s1.co.uk', 'bounce-12345@s2.co.uk'],
    // No domain that somebody has registered.
    ['bounce-12345@[192.0.2.1]', 'bounce-12345@[192.1.2.1]'],
    ['bounce-12345@[ipv6:2001:db8::1]', 'bounce-12345@[ipv6:2001:db8::2]'],
    ['bounce-12345@192.0.2.1', 'bounce-12345@192.1.2.1'],
    // Departments whose lists have one name.
    ['news-return-1-joe=example.com@cs.uni.test', 'news-return-1-joe=example.com@math.uni.test'],
    [
      '01000173532fd7b1-e7c790f3-b583-4e40-9958-898174559fed-000000@amazonses.com',
      '01000173532fd7b1-e7c790f3-b583-4e40-9958-898174559fed-000000@eu-west-1.amazonses.com',
    ],
    [
      'support=akamai.com__9m4vlv27x6v0rxwe@bnc.salesforce.com',
      'sales=akamai.com__9m4vlv27x6v0rxwe@bnc.salesforce.com',
    ],
    [
      'a1vdek4eqtvi/ni3ked62sg==_1103304917473_t+iblfa0ee+fkpowpmt8pw==@in.constantcontact.com',
      'a1vdek4eqtvi/ni3ked62sg==_1103304917474_t+iblfa0ee+fkpowpmt8pw==@in.constantcontact.com',
    ],
  ]
  for (const [one, other] of cases) assert.notEqual(form(one), form(other), `${one} is not ${other}`)
})

// Hostile text of any length comes from the network. Past the longest address that a mailer writes nothing is looked
// into at all, so what the rules may cost is bounded, however they read.
test('an address too long for any mailer is its own form', () => {
  const pieces = [
    'a',
    '1',
    '=',
    '+',
    '-',
    '*',
    '#',
    '.',
    'prvs=1234=',
    'srs0=a=bb=c=',
    'bounce-1-',
    'a1',
    '-a=b.cc',
    '**a*-b',
  ]
  for (const piece of pieces) {
    for (const [head, tail] of [
      ['', ''],
      ['srs0=a=bb=', '=x'],
      ['bounces-', '-1=example.com'],
    ]) {
      const local = `${head}${piece.repeat(65_536 / piece.length)}${tail}`
      const sender = parseAddress(`${local}@bounce.example.com`)
      const recipient = parseAddress(`${'a'.repeat(60_000)}@example.com`)
      assert.deepEqual(senderForms(sender, recipient), { form: sender.normal, former: sender.normal })
    }
  }
})

const PIECES = [
  ...[
    'prvs=',
    '0891a9abd5',
    'btv1==',
    'msprvs1=',
    'srs0',
    'srs1',
    'srs',
    'hh',
    'bounce',
    'bounces',
    'return',
    'a',
    'p0',
  ],
  ...[
    'joe',
    'example.com',
    '_at_',
    '12',
    '12345',
    '2017062818244549',
    '9f86d081884c7d65',
    'é',
    '\u{1f600}',
    '\udc80',
  ],
  ...['=', '==', '+', '-', '.', '_', '*', '**', '*-', '#', '%', '/', '@', '"', '\\', ' '],
  '123e4567-e89b-12d3-a456-426614174000',
]
const ANY_ADDRESS = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.string({ unit: fc.constantFrom(...PIECES), maxLength: 12 }),
  fc
    .string({ unit: fc.constantFrom(...PIECES), maxLength: 12 })
    .map((local) => `${local}@bounce.example.com`),
  fc.string({ unit: fc.constantFrom(...PIECES), maxLength: 12 }).map((local) => `${local}@example.net`),
)

// Any two texts have a form, which is empty for the null sender only, has no other labels in its domain than the
// sender's, and holds no more than the address did, but for the marks of SRS.
test('any text has a form', () => {
  fc.assert(
    fc.property(ANY_ADDRESS, fc.option(ANY_ADDRESS, { nil: undefined }), (text, to) => {
      const sender = parseAddress(text)
      const { form: result } = senderForms(sender, to === undefined ? undefined : parseAddress(to))
      assert.equal(result === '', sender.normal === '')
      const labels = new Set(sender.domain.split('.'))
      const domain = result.slice(result.lastIndexOf('@') + 1)
      if (sender.domain !== '')
        assert.deepEqual(
          domain.split('.').filter((label) => !labels.has(label)),
          [],
        )
      if (result.startsWith(`${sender.local}@`)) assert.equal(domain, sender.domain)
      if (!text.includes('srs')) assert.ok(result.length <= sender.normal.length)
    }),
    { numRuns: 3000 },
  )
})

// A name with a number in it, of up to a telephone number's length and in any order, is nobody else's.
test('names with a number are themselves', () => {
  const word = fc.stringMatching(/^[a-z]{2,12}$/)
  const name = fc
    .tuple(word, fc.constantFrom('', '.', '-', '_'), fc.stringMatching(/^\d{1,15}$/), fc.boolean())
    .map(([text, mark, number, isLast]) => (isLast ? `${text}${mark}${number}` : `${number}${mark}${text}`))
    .filter((local) => !/bounce|bnc|verp|sentto/.test(local))
  fc.assert(
    fc.property(name, (local) => {
      assert.equal(form(`${local}@example.com`), `${local}@example.com`)
    }),
    { numRuns: 1000 },
  )
})

// Whatever is signed or forwarded, the form is of what was signed, and does not know tag, hash or time.
test('tags, hashes and times do not matter', () => {
  const tag = fc.stringMatching(/^\d[0-9a-f]{8,9}$/)
  const hash = fc.stringMatching(/^[A-Za-z0-9+/]{4}$/)
  const time = fc.stringMatching(/^[A-Z2-7]{2}$/)
  const local = fc.constantFrom(
    'joe',
    'o=brien',
    '79161234567',
    'list-bounces',
    'list-return-1-a=b.cc',
    'a.b-c',
  )
  fc.assert(
    fc.property(local, tag, hash, time, (name, tag, hash, time) => {
      const plain = form(`${name}@example.com`)
      assert.equal(form(`prvs=${tag}=${name}@example.com`), plain)
      assert.equal(form(`prvs=${name}=${tag}@example.com`), plain)
      assert.equal(form(`btv1==${tag}==${name}@example.com`), plain)
      const forwarded = form(`SRS0=${hash}=${time}=example.com=${name}@fwd.test`)
      assert.equal(forwarded, form(`SRS0=HHHH=TT=example.com=${name}@fwd.test`))
      assert.equal(form(`prvs=${tag}=SRS0=${hash}=${time}=example.com=${name}@fwd.test`), forwarded)
    }),
  )
})

// To whomever a list writes, it is one sender.
test('the recipient does not matter where it is embedded', () => {
  const user = fc.stringMatching(/^[a-z][a-z0-9]{0,8}(?:[.+_-][a-z0-9]{1,6}){0,2}$/)
  const host = fc.stringMatching(/^[a-z][a-z0-9]{0,8}(?:-[a-z0-9]{1,4})?(?:\.[a-z]{2,6}){1,2}$/)
  const spelling = fc.constantFrom('=', '#', '%', '_at_')
  const list = fc.constantFrom('owner-list-', 'list-return-42-', 'list-bounces+', 'list-', 'sentto-1-2-', '')
  fc.assert(
    fc.property(list, user, host, spelling, (list, user, host, at) => {
      const one = form(`${list}${user}${at}${host}@lists.test`, `${user}@${host}`)
      assert.equal(one, form(`${list}joe=example.com@lists.test`, 'joe@example.com'))
    }),
    { numRuns: 1000 },
  )
})

// Persons.

const NAME = fc
  .stringMatching(/^[a-z]{2,12}$/)
  .filter((name) => !/bounc|bnc|verp|sentto|return|srs|prvs/.test(name))
const YEAR = fc.integer({ min: 1930, max: 2030 }).map(String)
const CUSTOMER = fc.stringMatching(/^\d{1,15}$/)
const TELEPHONE = fc.stringMatching(/^[1-9]\d{6,14}$/)
const HEX = (length: number) => fc.stringMatching(new RegExp(`^[0-9a-f]{${length}}$`))
const joined = (mark: string, ...parts: Array<fc.Arbitrary<string>>) =>
  fc.tuple(...parts).map((texts) => texts.join(mark))
const MARK = fc.constantFrom('.', '-', '_', '')
const ACME = fc.constantFrom('acme.com', 'news.acme.example', 'acme-shop.co.uk')

/** Local parts of persons, and of what stands for one. */
const PERSON = fc.oneof(
  fc.tuple(NAME, MARK, NAME, MARK, fc.oneof(YEAR, CUSTOMER, fc.constant(''))).map((parts) => parts.join('')),
  fc.tuple(NAME, NAME, NAME).map(([one, two, three]) => `${one}-${two}.${three}`),
  fc.tuple(CUSTOMER, MARK, NAME).map((parts) => parts.join('')),
  CUSTOMER,
  joined('.', NAME, YEAR, fc.stringMatching(/^\d\d$/), fc.stringMatching(/^\d\d$/)),
  // Telephones and what they are written for.
  TELEPHONE.map((number) => `+${number}`),
  TELEPHONE.map((number) => `+${number}/type=plmn`),
  TELEPHONE.map((number) => `fax=+${number}`),
  fc.tuple(TELEPHONE, CUSTOMER).map(([number, extension]) => `fax=+${number}/t33s=${extension}`),
  fc
    .tuple(fc.constantFrom('fax', 'mms', 'phone', 'sms', 'tel', 'voice'), TELEPHONE)
    .map((parts) => parts.join('+')),
  joined('.', ...Array.from({ length: 5 }, () => fc.stringMatching(/^\d\d$/))),
  joined('-', NAME, ...Array.from({ length: 5 }, () => fc.stringMatching(/^\d{2,3}$/))),
  // What gateways and forwarders make of an address.
  joined('=', NAME, ACME),
  fc.tuple(NAME, NAME, ACME).map(([one, two, domain]) => `${one}-${two}=${domain}`),
  fc.tuple(NAME, fc.constantFrom('%', '_at_'), ACME).map((parts) => parts.join('')),
  fc
    .tuple(NAME, NAME, NAME)
    .map(([org, first, last]) => `imceaex-_o=${org}_ou=first+20group_cn=${first}+20${last}`),
  fc
    .tuple(NAME, HEX(32), NAME)
    .map(([org, id, name]) => `imceaex-_o=${org}_cn=recipients+20x_cn=${id}-${name}`),
  fc.tuple(NAME, ACME).map(([name, domain]) => `imceasmtp-${name}+40${domain.replaceAll('.', '+2e')}`),
  fc.tuple(NAME, NAME, NAME, CUSTOMER).map(([g, s, o, a]) => `/g=${g}/s=${s}/o=${o}/a=${a}/c=us/`),
  fc.tuple(NAME, NAME, NAME).map(([one, two, org]) => `cn=${one}+20${two}/o=${org}`),
)

// Whoever else writes from the domain, and from whatever host: nobody passes for a person.
test('the address of a person is its own form, so that no two of them merge', () => {
  const domain = fc.constantFrom(
    'example.com',
    'mail12.atl31.example.com',
    'cs.uni.test',
    's4.tenant1.onmicrosoft.com',
  )
  const recipient = fc.constantFrom(undefined, 'postmaster@elsewhere.test', 'acme@acme.com')
  fc.assert(
    fc.property(PERSON, domain, recipient, (local, domain, recipient) => {
      assert.equal(form(`${local}@${domain}`, recipient), `${local}@${domain}`)
    }),
    { numRuns: 5000 },
  )
})

// Mailers.

const BASE36 = (min: number, max = min) => fc.stringMatching(new RegExp(`^[0-9a-z]{${min},${max}}$`))
const NUMBER = (min: number, max = min) => fc.stringMatching(new RegExp(`^[1-9]\\d{${min - 1},${max - 1}}$`))
const HOST = fc
  .tuple(NUMBER(1, 3), fc.constantFrom('atl', 'suw', 'sea', 'wdc'), NUMBER(2, 3))
  .map(([host, site, number]) => `mail${host}.${site}${number}.rsgsv.net`)

/** Addresses as a mailer makes them up, with the one form of all of them. */
const MAILERS: Array<[form: string, address: fc.Arbitrary<string>]> = [
  [
    'e3us-#@emarsys.net',
    fc
      .tuple(NUMBER(13), HEX(6), HEX(6))
      .map(([number, one, two]) => `e3us-${number}-${one}II${two}@e3.emarsys.net`),
  ],
  [
    '#@a3331929.mailjet.com',
    fc
      .tuple(HEX(8), fc.stringMatching(/^[\w-]{51}\d$/))
      .map(([hash, id]) => `${hash}.${id}@a3331929.bnc3.mailjet.com`),
  ],
  [
    '#@hubspotemail.net',
    fc.tuple(BASE36(35), NUMBER(2)).map(([id, host]) => `1ax${id}@bf${host}.eu1.hubspotemail.net`),
  ],
  [
    '#-*@hubspotemail.net',
    fc.tuple(BASE36(35), NUMBER(2)).map(([id, host]) => `1ax${id}-joe=acme.com@bf${host}x.hubspotemail.net`),
  ],
  [
    'bounce-mc.us2_#@rsgsv.net',
    fc
      .tuple(NUMBER(6, 9), NUMBER(6, 18), HEX(10), HOST)
      .map(([account, campaign, id, host]) => `bounce-mc.us2_${account}.${campaign}-${id}@${host}`),
  ],
  [
    'bounce-mc.us11_#-*@rsgsv.net',
    fc
      .tuple(NUMBER(6, 9), NUMBER(6, 8), HOST)
      .map(([account, campaign, host]) => `bounce-mc.us11_${account}.${campaign}-joe=acme.com@${host}`),
  ],
  [
    'support=acme.com__#@bnc.salesforce.com',
    fc
      .tuple(BASE36(1, 16), BASE36(6, 16), BASE36(5, 7))
      .map(([id, one, two]) => `support=acme.com__${id}@${one}.${two}.3h-6ftaleam.na156.bnc.salesforce.com`),
  ],
  [
    'bounces-#@d.sender-sib.com',
    fc
      .tuple(NUMBER(8, 9), NUMBER(10), fc.stringMatching(/^[a-z]{2}$/))
      .map(([account, id, host]) => `bounces-${account}-${id}@${host}.d.sender-sib.com`),
  ],
  [
    '5958915259-#@mchat.booking.com',
    joined('.', BASE36(25), BASE36(25)).map((id) => `5958915259-${id}@mchat.booking.com`),
  ],
  [
    'srs0=#=#=rsgsv.net=bounce-mc.us2_#@fwd.test',
    fc
      .tuple(fc.stringMatching(/^[\w+/]{4}$/), fc.stringMatching(/^[A-Z2-7]{2}$/), HOST, HEX(10))
      .map(([hash, time, host, id]) => `SRS0=${hash}=${time}=${host}=bounce-mc.us2_1.2-${id}@fwd.test`),
  ],
]

test('whatever a mailer makes up, in the local part and in the domain, it is one sender', () => {
  for (const [expected, address] of MAILERS) {
    fc.assert(
      fc.property(address, (address) => {
        assert.equal(form(address), expected)
        assert.equal(form(address, 'postmaster@elsewhere.test'), expected)
      }),
      { numRuns: 300 },
    )
  }
})

// Entries from before an upgrade are stored under the former form, to the letter.
test('the former form is what the version before these rules made', () => {
  const changed: Array<[former: string, address: string]> = [
    ['e3us-1623334985760-1d71a7ii5eaccb@us.emarsys.net', 'e3us-1623334985760-1d71a7II5eaccb@us.emarsys.net'],
    [
      '#.aviaaiqjdomaaaaaaaaaa-#@a3331929.bnc3.mailjet.com',
      '40e8637d.AVIAAIQjDoMAAAAAAAAAA-TQl7QAAYKJE04AAAAAADLXWQBpJ5Pi@a3331929.bnc3.mailjet.com',
    ],
    [
      '1axbzngfdqrw3qttkekmmouflkgrjnzptdk8su@bf05.eu1.hubspotemail.net',
      '1axbzngfdqrw3qttkekmmouflkgrjnzptdk8su@bf05.eu1.hubspotemail.net',
    ],
    [
      'bounce-mc.us2_#@mail150.suw14.mcdlv.net',
      'bounce-mc.us2_146412474.3551972-e3616ba718@mail150.suw14.mcdlv.net',
    ],
    [
      'support=akamai.com__#@mmh2xurvokdh.a-hu5amac.na63.bnc.salesforce.com',
      'support=akamai.com__9m4vlv27x6v0rxwe@mmh2xurvokdh.a-hu5amac.na63.bnc.salesforce.com',
    ],
    ['bounces-#@gw.d.sender-sib.com', 'bounces-470616010-2104611724@gw.d.sender-sib.com'],
    ['bounce-#@s4.acemsrvg.com', 'prvs=0891a9abd5=bounce-5@s4.acemsrvg.com'],
    [
      'v-biheobc_begnlldjf_icanamoe_icanamoe_a-#@bounce.mkt3534.com',
      'v-biheobc_begnlldjf_icanamoe_icanamoe_a-1@bounce.mkt3534.com',
    ],
    [
      'bo-bkxqwzr3vtplmdhgqwrbn7ckslzp4q@b.e.latimes.com',
      'bo-bkxqwzr3vtplmdhgqwrbn7ckslzp4q@b.e.latimes.com',
    ],
    [
      'srs0=#=#=mail230.atl221.rsgsv.net=bounce-mc.us19_#@bounce.secureserver.net',
      'SRS0=xnsq=aa=mail230.atl221.rsgsv.net=bounce-mc.us19_135692642.17568503-5ffc978964@bounce.secureserver.net',
    ],
    [
      'imceaex-_o=org_ou=first@example.com',
      'IMCEAEX-_o=ORG_ou=First+20Group_cn=Recipients_cn=joe@example.com',
    ],
    ['fax=@faxgw.test', 'fax=+12027653000@faxgw.test'],
    ['sms@gateway.test', 'sms+491701234567@gateway.test'],
    ['#@orange.example', '06.12.34.56.78@orange.example'],
    ['jean-*@forwarder.test', 'jean-paul=acme.com@forwarder.test'],
    ['*@bounces.elasticemail.net', 'admin=arbe.org.uk@bounces.elasticemail.net'],
    ['#@members.ebay.com', '43ad1d549beae3625950@members.ebay.com'],
  ]
  for (const [former, address] of changed) {
    assert.equal(forms(address).former, former)
    assert.notEqual(forms(address).form, former, address)
  }
  for (const address of [
    'joe+tag@example.com',
    'bounces-12@example.com',
    'SRS0=HHH=TT=a.test=joe@fwd.test',
    '',
  ]) {
    const { form, former } = forms(address)
    assert.equal(former, form, address)
  }
})
